// The JSON header of a safetensors file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "petrain/tensor.hpp"

namespace petrain {

struct StoredTensor {
  DType dtype = DType::f32;
  Shape shape;
  std::vector<std::uint64_t> offsets;  // begin and end in the data
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::map<std::string, StoredTensor> tensors;
};

// Throws Error. The result has the right form; whether its numbers are true is for the caller to check. The memory
// that it takes is bounded by a small multiple of the text.
SafetensorsHeader parse_safetensors_header(const std::string& text);

}  // namespace petrain
