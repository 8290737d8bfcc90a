// Named tensors and text metadata in one file, in the safetensors format: 8 bytes with the length of a header
// (little-endian), a JSON header {"__metadata__": {text: text}, name: {"dtype", "shape", "data_offsets"}, …}, the
// data. Source of the format: https://github.com/huggingface/safetensors
//
//   petrain::write_safetensors("m.safetensors", {{"format", "petrain"}}, {{"weight", tensor.view()}});
//   petrain::SafetensorsFile file = petrain::read_safetensors("m.safetensors");
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "petrain/tensor.hpp"

namespace petrain {

struct SafetensorsFile {
  std::map<std::string, std::string> metadata;
  std::map<std::string, Tensor> tensors;  // of dtype F32, F64, F16, BF16, I8, U8, I32 or I64
};

// The file is hostile until checked: the memory of the tensors is taken only after the whole header was found to
// agree with itself and with the size of the file. Stricter than the reference implementation, which lets a repeated
// key or an unknown field pass. Throws IoError where the file cannot be read, Error where it is not a correct
// safetensors file; the message names the tensor, what was expected and what came.
SafetensorsFile read_safetensors(const std::string& path);

// The same from memory: the bytes of a whole file.
SafetensorsFile parse_safetensors(std::span<const std::byte> bytes);

// Writes a file that takes the place of the old one at once: it is written under a temporary name in the same folder,
// synced and renamed. Where anything fails, the temporary file is removed and an old file stays as it was; where the
// process is killed, the old file stays and a file ".petrain-*.tmp" may remain. A symbolic link is replaced, not
// followed. The same tensors and metadata give the same bytes, those of the reference implementation (which orders
// metadata at random; here it is sorted).
// Throws IoError, or std::invalid_argument before anything is written where a name or a tensor cannot be stored.
void write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       const std::map<std::string, ConstTensorView>& tensors);

// Bytes of the file that write_safetensors would write. Data is not read and may be null.
std::uint64_t safetensors_size(const std::map<std::string, std::string>& metadata,
                               const std::map<std::string, ConstTensorView>& tensors);

}  // namespace petrain
