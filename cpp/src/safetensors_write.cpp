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
}

std::span<const std::byte> bytes_of(const ConstTensorView& tensor) {
  return {tensor.as<std::byte>(), static_cast<std::size_t>(tensor.size()) * dtype_size(tensor.dtype)};
}

struct Layout {
  std::string header;
  std::vector<const ConstTensorView*> order;
  std::uint64_t data_bytes = 0;
};

Layout layout_of(const std::map<std::string, std::string>& metadata,
                 const std::map<std::string, ConstTensorView>& tensors) {
  Layout layout;
  std::string& header = layout.header;
  header = "{";
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

  for (const StoredDType& stored : kStoredDTypes) {
    for (const auto& [name, tensor] : tensors) {
      if (tensor.dtype != stored.dtype) continue;
      layout.order.push_back(&tensor);
      const std::uint64_t begin = layout.data_bytes;
      const std::uint64_t end = begin + bytes_of(tensor).size();
      add_key(json_text(name, "tensor name"));
      header += "{\"dtype\":\"" + std::string(stored.name) + "\",\"shape\":" + nlohmann::json(tensor.shape).dump() +
                ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
      layout.data_bytes = end;
    }
  }
  header += '}';
  header.append((8 - header.size() % 8) % 8, ' ');  // the data begins aligned
  if (header.size() > kLongestHeader) {
    throw std::invalid_argument("expected names and metadata of at most " + std::to_string(kLongestHeader) +
                                " bytes in the header, got " + std::to_string(header.size()));
  }
  return layout;
}

}  // namespace

std::uint64_t safetensors_size(const std::map<std::string, std::string>& metadata,
                               const std::map<std::string, ConstTensorView>& tensors) {
  const Layout layout = layout_of(metadata, tensors);
  return kLengthBytes + layout.header.size() + layout.data_bytes;
}

void write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       const std::map<std::string, ConstTensorView>& tensors) {
  const Layout layout = layout_of(metadata, tensors);
  for (const auto& [name, tensor] : tensors) {
    if (tensor.size() > 0 && tensor.data == nullptr) {
      throw std::invalid_argument("tensor " + quote(name) + ": expected data, got none");
    }
  }
  const std::uint64_t length = layout.header.size();
  std::vector<std::span<const std::byte>> pieces = {std::as_bytes(std::span(&length, 1)),
                                                    std::as_bytes(std::span(layout.header))};
  for (const ConstTensorView* tensor : layout.order) pieces.push_back(bytes_of(*tensor));
  replace_file(path, pieces);
}

}  // namespace petrain
