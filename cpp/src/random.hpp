// Random numbers that are a pure function of (seed, stream, index): Philox4x32-10 (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). Any part of a sequence can be drawn by any thread, in any order. Nothing
// here calls the C library's log or cos, so the same bits come out on every machine.
//
// A stream is one purpose: give every tensor that is filled from one seed a stream of its own.
#pragma once

#include <array>
#include <cstdint>

namespace petrain {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

std::uint64_t random_bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t index);
double uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t index);  // [0, 1), a multiple of 2⁻⁵³
double normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t index);   // mean 0, variance 1 (Box–Muller)

// out[i] = float(low + (high - low) · uniform(seed, stream, i)), which rounding may take to `high` itself.
void fill_uniform(std::uint64_t seed, std::uint64_t stream, double low, double high, float* out, std::int64_t size);
// out[i] = float(mean + deviation · normal(seed, stream, i)).
void fill_normal(std::uint64_t seed, std::uint64_t stream, double mean, double deviation, float* out,
                 std::int64_t size);

}  // namespace petrain
