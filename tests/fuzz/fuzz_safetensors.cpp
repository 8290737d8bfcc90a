// Any bytes are a correct file or a petrain::Error: nothing else may come out of the reader.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "petrain/error.hpp"
#include "petrain/safetensors.hpp"

namespace {

void parse(std::span<const std::byte> bytes) {
  try {
    const petrain::SafetensorsFile file = petrain::parse_safetensors(bytes);
    // The tensors hold the end of the file, every byte once.
    std::size_t total = 0;
    unsigned sum = 0, expected = 0;
    for (const auto& [name, tensor] : file.tensors) {
      total += tensor.nbytes();
      const auto* data = tensor.as<std::uint8_t>();
      for (std::size_t i = 0; i < tensor.nbytes(); ++i) sum += data[i];
    }
    if (total + 8 > bytes.size()) std::abort();
    for (const std::byte byte : bytes.last(total)) expected += static_cast<unsigned>(byte);
    if (sum != expected) std::abort();
  } catch (const petrain::IoError&) {
    std::abort();  // there is no file here
  } catch (const petrain::Error&) {
  }
}

// The input as a header, with a length that is right, and some data: mutations need not mend the length to get on.
void parse_as_header(std::span<const std::byte> text) {
  constexpr std::size_t kData = 16;
  const std::uint64_t length = text.size();
  std::vector<std::byte> file(8 + text.size() + kData, std::byte{7});
  std::memcpy(file.data(), &length, 8);
  if (length > 0) std::memcpy(file.data() + 8, text.data(), text.size());
  parse(file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  parse(bytes);
  parse_as_header(bytes);
  return 0;
}
