#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

#include "files.hpp"
#include "petrain/safetensors.hpp"
#include "quote.hpp"
#include "safetensors_format.hpp"

namespace petrain {
namespace {

// A JSON string, escaped as the reference implementation does.
std::string json_text(const std::string& text, const std::string& what) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    throw std::invalid_argument(what + ": expected UTF-8, got " + quote(text));
  }
}

void check(const std::string& name, const ConstTensorView& tensor) {
  const std::string what = "tensor " + quote(name);
  if (name == kMetadataKey) throw std::invalid_argument(what + ": this name is reserved for the metadata");
  if (tensor.shape.size() > kMostDimensions) {
    throw std::invalid_argument(what + ": expected at most " + std::to_string(kMostDimensions) + " dimensions, got " +
                                std::to_string(tensor.shape.size()));
  }
  if (tensor.size() > 0 && tensor.data == nullptr) throw std::invalid_argument(what + ": expected data, got none");
}

std::span<const std::byte> bytes_of(const ConstTensorView& tensor) {
  return {tensor.as<std::byte>(), static_cast<std::size_t>(tensor.size()) * dtype_size(tensor.dtype)};
}

}  // namespace

void write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       const std::map<std::string, ConstTensorView>& tensors) {
  std::string header = "{";
  const auto add_key = [&](const std::string& key) { header += (header.back() == '{' ? "" : ",") + key + ":"; };
  if (!metadata.empty()) {
    add_key(json_text(kMetadataKey, ""));
    header += '{';
    for (const auto& [key, value] : metadata) {
      add_key(json_text(key, "metadata key"));
      header += json_text(value, "metadata " + quote(key));
    }
    header += '}';
  }
  for (const auto& [name, tensor] : tensors) check(name, tensor);

  std::vector<std::span<const std::byte>> pieces(2);  // the length and the header, below
  std::uint64_t begin = 0;
  for (const StoredDType& stored : kStoredDTypes) {
    for (const auto& [name, tensor] : tensors) {
      if (tensor.dtype != stored.dtype) continue;
      pieces.push_back(bytes_of(tensor));
      const std::uint64_t end = begin + pieces.back().size();
      add_key(json_text(name, "tensor name"));
      header += "{\"dtype\":\"" + std::string(stored.name) + "\",\"shape\":" + nlohmann::json(tensor.shape).dump() +
                ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
      begin = end;
    }
  }
  header += '}';
  header.append((8 - header.size() % 8) % 8, ' ');  // the data begins aligned
  const std::uint64_t length = header.size();
  if (length > kLongestHeader) {
    throw std::invalid_argument("expected names and metadata of at most " + std::to_string(kLongestHeader) +
                                " bytes in the header, got " + std::to_string(length));
  }
  pieces[0] = std::as_bytes(std::span(&length, 1));
  pieces[1] = std::as_bytes(std::span(header));
  replace_file(path, pieces);
}

}  // namespace petrain
