// Quantized arrays in files: safetensors with the integers as they are stored, the scales and the zero points, and the
// formats as JSON in the metadata. docs/file-format.md describes it; anything that reads safetensors can read the
// tensors.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "petrain/quant.hpp"

namespace petrain {

// Writes all or nothing: see write_safetensors. The same arrays give the same bytes. Throws what it throws, and
// std::invalid_argument or std::out_of_range where an array does not pass validate().
void save_quant(const std::string& path, const std::map<std::string, const QuantTensor*>& arrays);

// The file is hostile until checked. Throws IoError where it cannot be read, Error where it is not such a file; the
// message says what was expected and what came.
std::map<std::string, QuantTensor> load_quant(const std::string& path);

// The same from memory: the bytes of a whole file.
std::map<std::string, QuantTensor> parse_quant(std::span<const std::byte> bytes);

}  // namespace petrain
