// The loops of fake_quant.hpp over blocks of a chunk, for its own functions and for the steps of optimizers.
#pragma once

#include "fake_quant.hpp"
#include "lanes.hpp"
#include "load.hpp"
#include "magic.hpp"

namespace petrain::kernels {
namespace {

// Adding kMagic leaves the rounded integer in the low bits. Bits of floats, taken as integers, are in the order of the
// floats where these are positive, and below all those of positive floats otherwise: so the integer can be clamped
// after that. NaN becomes one of the ends, by its sign.
constexpr std::int32_t kMagicBits = __builtin_bit_cast(std::int32_t, kMagic);

inline std::int32_t smaller(std::int32_t a, std::int32_t b) { return b < a ? b : a; }
inline std::int32_t larger(std::int32_t a, std::int32_t b) { return b > a ? b : a; }

// round_half_even(clamp(u, low, high)), as the bits of that + kMagic.
inline std::int32_t rounded_bits(float u, std::int32_t low, std::int32_t high) {
  const std::int32_t bits = __builtin_bit_cast(std::int32_t, u + kMagic);
  return larger(smaller(bits, kMagicBits + high), kMagicBits + low);
}

inline float rounded_float(std::int32_t bits) { return __builtin_bit_cast(float, bits) - kMagic; }

// What quantizes each element of a block.
struct Levels {
  alignas(64) float scale[kBlock];                     // or their reciprocals
  alignas(64) std::int32_t low[kBlock], high[kBlock];  // where there are zero points
  alignas(64) std::int32_t zero_point[kBlock];         // likewise
  float all;                                           // the one scale of the block, or 0

  Levels() : all(0) {}  // the rest is filled before it is read
};

template <bool reciprocals>
void fill_scales(Levels& levels, std::ptrdiff_t at, const float* from, const Piece& piece) {
  float* scale = levels.scale + at;
  if (piece.step == 0) {
    const float one = reciprocals ? 1 / *from : *from;
    for (std::ptrdiff_t j = 0; j < piece.size; ++j) scale[j] = one;
  } else if (piece.step == 1) {
    for (std::ptrdiff_t j = 0; j < piece.size; ++j) scale[j] = reciprocals ? 1 / from[j] : from[j];
  } else {
    for (std::ptrdiff_t j = 0; j < piece.size; ++j) {
      const float one = from[j * piece.step];
      scale[j] = reciprocals ? 1 / one : one;
    }
  }
}

// Also behind the block, as the next one of the same scale may be longer.
template <bool reciprocals>
void fill_all(Levels& levels, float scale) {
  if (levels.all == scale) return;
  levels.all = scale;
  const float one = reciprocals ? 1 / scale : scale;
  for (float& each : levels.scale) each = one;
}

inline void fill_zero_points(Levels& levels, std::ptrdiff_t at, const FakeQuantFormat& format, const Piece& piece) {
  for (std::ptrdiff_t j = 0; j < piece.size; ++j) {
    const std::int32_t zero_point = format.zero_point[piece.scale + j * piece.step];
    levels.low[at + j] = format.least - zero_point;
    levels.high[at + j] = format.most - zero_point;
    levels.zero_point[at + j] = zero_point;
  }
}

struct Pieces {
  int count;
  Piece piece[kBlock];
};

// Those that the next `size` elements consist of, at most kBlock.
inline __attribute__((noinline)) void next_block(ScaleCursor& cursor, std::ptrdiff_t size, Pieces& pieces) {
  pieces.count = 0;
  for (std::ptrdiff_t done = 0; done < size; ++pieces.count) {
    pieces.piece[pieces.count] = cursor.next(size - done);
    done += pieces.piece[pieces.count].size;
  }
}

template <bool reciprocals>
void fill(Levels& levels, const FakeQuantFormat& format, const Pieces& pieces) {
  std::ptrdiff_t done = 0;
  for (int i = 0; i < pieces.count; ++i) {
    const Piece& piece = pieces.piece[i];
    const float* from = format.scale + piece.scale;
    if (format.zero_point != nullptr) fill_zero_points(levels, done, format, piece);
    if (pieces.count == 1 && piece.step == 0) return fill_all<reciprocals>(levels, *from);
    fill_scales<reciprocals>(levels, done, from, piece);
    done += piece.size;
  }
  levels.all = 0;
}

inline void write_one(std::int32_t bits, float scale, std::int32_t, float& out) { out = rounded_float(bits) * scale; }
// The last byte of kMagicBits is 0.
inline void write_one(std::int32_t bits, float, std::int32_t zero_point, std::int8_t& out) {
  out = static_cast<std::int8_t>(bits + zero_point);
}

template <bool zero_points, class Out>
__attribute__((noinline)) void write_elements(const float* x, const FakeQuantFormat& format, const Levels& levels,
                                              Out* out, std::ptrdiff_t size) {
  const float* scale = levels.scale;
  const std::int32_t *lows = levels.low, *highs = levels.high, *zeros = levels.zero_point;
  const std::int32_t least = format.least, most = format.most;
#pragma omp simd
  for (std::ptrdiff_t j = 0; j < size; ++j) {
    const std::int32_t low = zero_points ? lows[j] : least, high = zero_points ? highs[j] : most;
    write_one(rounded_bits(x[j] / scale[j], low, high), scale[j], zero_points ? zeros[j] : 0, out[j]);
  }
}

// The gradient of an element, and its part of that of the scale, from u and the gradient of the result. Divisions take
// the time of four or five other operations, so u is a product with the reciprocal; only the forward pass, which has to
// give what quantizing gives, divides.
inline float masked(float u, float gradient, std::int32_t low, std::int32_t high, float& part) {
  const bool inside = (u >= static_cast<float>(low)) & (u <= static_cast<float>(high));
  part = gradient * (rounded_float(rounded_bits(u, low, high)) - (inside ? u : 0.0f));
  return inside ? gradient : 0.0f;
}

template <bool zero_points>
__attribute__((noinline)) void mask_elements(const float* x, const FakeQuantFormat& format, const Levels& reciprocals,
                                             const float* gradient, float* x_gradient, float* parts,
                                             std::ptrdiff_t size) {
  const float* reciprocal = reciprocals.scale;
  const std::int32_t *lows = reciprocals.low, *highs = reciprocals.high;
  const std::int32_t least = format.least, most = format.most;
#pragma omp simd
  for (std::ptrdiff_t j = 0; j < size; ++j) {
    const std::int32_t low = zero_points ? lows[j] : least, high = zero_points ? highs[j] : most;
    x_gradient[j] = masked(x[j] * reciprocal[j], gradient[j], low, high, parts[j]);
  }
}

// `rest` with fewer than kLanes elements, and zeros behind them.
inline void pad(float (&rest)[kLanes], const float* x, std::ptrdiff_t size) {
  for (int lane = 0; lane < kLanes; ++lane) rest[lane] = lane < size ? x[lane] : 0.0f;
}

// In float64, element i in lane i mod kLanes. The first ones are no addition to zeros: compilers clear so few of them
// by a call, which would take longer than the sum of a group of 32.
inline __attribute__((noinline)) double sum_of(const float* x, std::ptrdiff_t size) {
  float rest[kLanes];
  if (size < kLanes) pad(rest, x, size);
  const float* first = size < kLanes ? rest : x;
  double lanes[kLanes];
#pragma omp simd
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = first[lane];
  std::ptrdiff_t done = kLanes;
  for (; done + kLanes <= size; done += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += x[done + lane];
  }
  if (done < size) {
    pad(rest, x + done, size - done);
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += rest[lane];
  }
  return sum_lanes(lanes);
}

inline void add_parts(const Piece& piece, const float* parts, double* slots) {
  if (piece.step == 0) {
    slots[piece.slot] += sum_of(parts, piece.size);
  } else {
    for (std::ptrdiff_t j = 0; j < piece.size; ++j) slots[piece.slot + j] += parts[j];
  }
}

inline void add_parts(const Pieces& pieces, const float* parts, double* slots) {
  for (int i = 0; i < pieces.count; ++i) {
    add_parts(pieces.piece[i], parts, slots);
    parts += pieces.piece[i].size;
  }
}

// A block of x to the same of out. `levels` are kept from block to block.
template <class Out>
void write_block(const FakeQuantFormat& format, Levels& levels, const Pieces& pieces, const float* x, Out* out,
                 std::ptrdiff_t size) {
  fill<false>(levels, format, pieces);
  if (format.zero_point != nullptr) {
    write_elements<true>(x, format, levels, out, size);
  } else {
    write_elements<false>(x, format, levels, out, size);
  }
}

}  // namespace
}  // namespace petrain::kernels
