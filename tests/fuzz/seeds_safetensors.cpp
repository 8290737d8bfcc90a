// Writes the seeds of fuzz_safetensors to the folder that is its argument: small correct files, and their headers
// alone, which the target takes too.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "petrain/safetensors.hpp"

using namespace petrain;

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: seeds_safetensors FOLDER\n"), 2;
  const std::string folder = std::string(argv[1]) + "/";
  const Tensor f32(DType::f32, {2, 1}), f64(DType::f64, {}), i8(DType::i8, {3}), u8(DType::u8, {1, 2});
  const Tensor i32(DType::i32, {0, 5}), i64(DType::i64, {1});
  const std::map<std::string, ConstTensorView> all = {{"a", f32.view()},  {"b.weight", f64.view()}, {"q", i8.view()},
                                                      {"é\n", u8.view()}, {"empty", i32.view()},    {"n", i64.view()}};
  write_safetensors(folder + "nothing", {}, {});
  write_safetensors(folder + "metadata", {{"format", "petrain"}, {"graph", "[{\"type\":\"linear\"}]"}}, {});
  write_safetensors(folder + "one", {}, {{"w", i8.view()}});
  write_safetensors(folder + "data_of_16_bytes", {}, {{"w", f64.view()}, {"x", i64.view()}});
  write_safetensors(folder + "all", {{"k", "v"}}, all);
  for (const std::string name : {"nothing", "metadata", "one", "data_of_16_bytes", "all"}) {
    std::ifstream file(folder + name, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const std::size_t end = bytes.rfind('}');
    if (bytes.size() < 10 || end == std::string::npos) return std::fprintf(stderr, "cannot read %s\n", name.c_str()), 1;
    std::ofstream(folder + name + ".header", std::ios::binary) << bytes.substr(8, end + 1 - 8);
  }
  return 0;
}
