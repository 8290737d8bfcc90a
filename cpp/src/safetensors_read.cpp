#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <tuple>

#include "files.hpp"
#include "petrain/error.hpp"
#include "petrain/safetensors.hpp"
#include "quote.hpp"
#include "safetensors_format.hpp"
#include "safetensors_header.hpp"

namespace petrain {
namespace {

class MemoryInput {
 public:
  explicit MemoryInput(std::span<const std::byte> bytes) : rest_(bytes), size_(bytes.size()) {}
  std::uint64_t size() const { return size_; }
  void read(std::byte* to, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, rest_.data(), bytes);
    rest_ = rest_.subspan(bytes);
  }

 private:
  std::span<const std::byte> rest_;
  std::uint64_t size_;
};

struct Range {
  std::uint64_t begin, end;
  const std::string* name;
  const StoredTensor* tensor;
};

std::uint64_t byte_count(const StoredTensor& tensor, const std::string& name) {
  try {
    return static_cast<std::uint64_t>(element_count(tensor.shape)) * dtype_size(tensor.dtype);
  } catch (const std::invalid_argument& error) {
    throw Error("tensor " + quote(name) + ": " + error.what());
  }
}

// The tensors in the order of their data, which they must cover from end to end, without a hole or an overlap.
std::vector<Range> checked_ranges(const SafetensorsHeader& header, std::uint64_t data_bytes) {
  std::vector<Range> ranges;
  ranges.reserve(header.tensors.size());
  for (const auto& [name, tensor] : header.tensors) {
    ranges.push_back({tensor.offsets[0], tensor.offsets[1], &name, &tensor});
  }
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return std::tie(a.begin, a.end, *a.name) < std::tie(b.begin, b.end, *b.name);
  });
  std::uint64_t reached = 0;
  for (const auto& [begin, end, name, tensor] : ranges) {
    const auto refuse = [&, begin = begin, end = end, name = name](const std::string& expected) {
      throw Error("tensor " + quote(*name) + ": expected " + expected + ", got data_offsets [" + std::to_string(begin) +
                  ", " + std::to_string(end) + "]");
    };
    if (begin > end) refuse("data_offsets that do not fall");
    const std::uint64_t bytes = byte_count(*tensor, *name);
    if (end - begin != bytes) {
      refuse(std::to_string(bytes) + " bytes for " + dtype_name(tensor->dtype) + " " + shape_text(tensor->shape));
    }
    if (begin != reached)
      refuse("data_offsets that begin at " + std::to_string(reached) + ", where the data before ends");
    if (end > data_bytes)
      refuse("data_offsets within the " + std::to_string(data_bytes) + " bytes of data in the file");
    reached = end;
  }
  if (reached != data_bytes) {
    throw Error("expected " + std::to_string(reached) + " bytes of data, as the header says, got " +
                std::to_string(data_bytes));
  }
  return ranges;
}

template <class Input>
SafetensorsFile read_from(Input& input) {
  const std::uint64_t size = input.size();
  if (size < kLengthBytes) {
    throw Error("expected at least 8 bytes, for the length of the header, got " + std::to_string(size));
  }
  std::uint64_t length = 0;
  input.read(reinterpret_cast<std::byte*>(&length), kLengthBytes);
  if (length > kLongestHeader) {
    throw Error("expected a header of at most " + std::to_string(kLongestHeader) + " bytes, got " +
                std::to_string(length));
  }
  if (length > size - kLengthBytes) {
    throw Error("expected a header of " + std::to_string(length) + " bytes, got a file with " +
                std::to_string(size - kLengthBytes) + " bytes after the length");
  }
  std::string text(length, '\0');
  input.read(reinterpret_cast<std::byte*>(text.data()), text.size());
  SafetensorsHeader header = parse_safetensors_header(text);
  const std::vector<Range> ranges = checked_ranges(header, size - kLengthBytes - length);

  SafetensorsFile file;
  for (const Range& range : ranges) {
    Tensor tensor(range.tensor->dtype, range.tensor->shape);
    input.read(tensor.as<std::byte>(), tensor.nbytes());
    file.tensors.emplace(*range.name, std::move(tensor));
  }
  file.metadata = std::move(header.metadata);
  return file;
}

}  // namespace

SafetensorsFile parse_safetensors(std::span<const std::byte> bytes) {
  MemoryInput input(bytes);
  return read_from(input);
}

SafetensorsFile read_safetensors(const std::string& path) {
  InputFile input(path);
  try {
    return read_from(input);
  } catch (const IoError&) {
    throw;
  } catch (const Error& error) {
    throw Error(quote_path(path) + ": " + error.what());
  }
}

}  // namespace petrain
