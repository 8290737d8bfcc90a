// Where the stored numbers of a sparse weight lie: a step of a group is one input and a number for each output.
#pragma once

#include <cstdint>
#include <vector>

#include "petrain/sparse.hpp"

namespace petrain {

// Bits of a place among m.
int position_bits(std::int64_t m);
std::int64_t position_bytes(std::int64_t count, std::int64_t m);

// The places of `count` stored numbers, as they are packed.
std::vector<std::uint8_t> unpack_positions(const std::uint8_t* packed, std::int64_t count, std::int64_t m);
void pack_positions(const std::vector<std::uint8_t>& places, std::int64_t m, std::uint8_t* packed);

// Throws std::invalid_argument where the pattern is none, or does not fit the shape or the bits.
void require_pattern(const SparsePattern& pattern, const Shape& shape, int bits);

struct StepIndex {
  std::vector<std::int32_t> positions;
  std::vector<std::int64_t> starts;  // of each group, and the end
};
StepIndex steps_of(const SparseTensor& w);

}  // namespace petrain
