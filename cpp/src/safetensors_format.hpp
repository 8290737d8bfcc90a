// What the reader and the writer of safetensors files agree on.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "petrain/tensor.hpp"

namespace petrain {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian and is used as it is");

constexpr const char* kMetadataKey = "__metadata__";
constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kLongestHeader = 100'000'000;  // the reference implementation's limit
constexpr std::size_t kMostDimensions = 32;            // what every NumPy can hold

struct StoredDType {
  DType dtype;
  const char* name;
};

// In the order in which tensors are stored: by alignment, so that each is aligned where the file is mapped.
constexpr StoredDType kStoredDTypes[] = {{DType::i64, "I64"}, {DType::f64, "F64"},   {DType::f32, "F32"},
                                         {DType::i32, "I32"}, {DType::bf16, "BF16"}, {DType::f16, "F16"},
                                         {DType::i8, "I8"},   {DType::u8, "U8"}};

}  // namespace petrain
