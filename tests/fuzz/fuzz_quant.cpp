// Any bytes are quantized arrays that keep their promises, or a petrain::Error.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "petrain/error.hpp"
#include "petrain/quant_file.hpp"

namespace {

void check(const petrain::QuantTensor& q) {
  q.validate();
  const petrain::Tensor numbers = petrain::dequantize(q);
  std::vector<std::int8_t> integers(static_cast<std::size_t>(numbers.size()));
  petrain::unpack(q, 0, numbers.size(), integers.data());
  const int most = q.spec.bits == 8 ? 127 : 7;
  const int least = q.spec.scheme == petrain::Scheme::symmetric ? -most : -most - 1;
  for (const std::int8_t integer : integers) {
    if (integer < least || integer > most) std::abort();
  }
  for (std::int64_t i = 0; i < numbers.size(); ++i) {
    if (std::isnan(numbers.as<float>()[i])) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    for (const auto& [name, array] : petrain::parse_quant({reinterpret_cast<const std::byte*>(data), size})) {
      check(array);
    }
  } catch (const petrain::IoError&) {
    std::abort();  // there is no file here
  } catch (const petrain::Error&) {
  }
  return 0;
}
