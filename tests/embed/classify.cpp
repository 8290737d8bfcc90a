// classify MODEL SAMPLES: reads float32 samples from a file without a header, prints for each the most likely class
// and the logits as hexadecimal, which loses no bit.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <petrain/model.hpp>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: classify MODEL SAMPLES\n");
    return 2;
  }
  try {
    const auto model = petrain::load_model(argv[1]);
    std::ifstream file(argv[2], std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    const auto rows = static_cast<std::int64_t>(bytes.size() / sizeof(float)) / model->in_features();

    petrain::Tensor samples(petrain::DType::f32, {rows, model->in_features()});
    std::copy_n(bytes.data(), samples.nbytes(), reinterpret_cast<char*>(samples.as<float>()));
    const petrain::Tensor logits = model->predict(std::move(samples));

    const std::int64_t classes = logits.shape()[1];
    for (std::int64_t row = 0; row < rows; ++row) {
      const float* scores = logits.as<float>() + row * classes;
      std::printf("%td", std::max_element(scores, scores + classes) - scores);
      for (std::int64_t i = 0; i < classes; ++i) std::printf(" %a", static_cast<double>(scores[i]));
      std::printf("\n");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "classify: %s\n", error.what());
    return 1;
  }
}
