// Any bytes are a model that runs, or a petrain::Error.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "petrain/error.hpp"
#include "petrain/model.hpp"

namespace {

constexpr std::int64_t kLargest = 4096;  // features of a model that is run

void run(std::span<const std::byte> bytes) {
  std::unique_ptr<petrain::Sequential> model;
  try {
    model = petrain::parse_model(bytes);
  } catch (const petrain::IoError&) {
    std::abort();  // there is no file here
  } catch (const petrain::Error&) {
    return;
  }
  if (model->in_features() > kLargest) return;
  petrain::Tensor x(petrain::DType::f32, {2, std::max<std::int64_t>(model->in_features(), 1)});
  try {
    model->predict(std::move(x));
  } catch (const std::invalid_argument&) {  // numbers that are not finite are refused where they are met
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
