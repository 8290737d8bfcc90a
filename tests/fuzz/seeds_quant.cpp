// Writes the seeds of fuzz_quant to the folder that is its argument: one small array of each kind of format.
#include <cstdio>
#include <string>

#include "petrain/quant_file.hpp"

using namespace petrain;

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: seeds_quant FOLDER\n"), 2;
  Tensor w(DType::f32, {32, 3});
  for (std::int64_t i = 0; i < w.size(); ++i) w.as<float>()[i] = static_cast<float>(i % 7) - 2;
  for (const int bits : {8, 4}) {
    for (const Scheme scheme : {Scheme::symmetric, Scheme::asymmetric}) {
      const QuantTensor tensor =
          quantize(w.view(), {.bits = bits, .scheme = scheme, .granularity = Granularity::tensor});
      const QuantTensor channel = quantize(w.view(), {.bits = bits, .scheme = scheme, .axis = 1});
      const QuantTensor group = quantize(w.view(), {bits, scheme, Granularity::group, 1, 32});
      const std::string path =
          std::string(argv[1]) + "/" + std::to_string(bits) + std::to_string(static_cast<int>(scheme));
      save_quant(path, {{"a", &tensor}, {"b", &channel}, {"c", &group}});
    }
  }
  return 0;
}
