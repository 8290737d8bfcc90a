#include "fake_quant.hpp"

#include "fake_quant_blocks.hpp"

namespace petrain::kernels {
namespace {

// body(first element, size, pieces) for each block of a chunk.
template <class Body>
void for_each_block(const ScaleLayout& layout, std::ptrdiff_t begin, std::ptrdiff_t size, Body body) {
  ScaleCursor cursor(layout, begin);
  Pieces pieces;
  for (std::ptrdiff_t done = 0; done < size; done += kBlock) {
    const std::ptrdiff_t count = size - done < kBlock ? size - done : kBlock;
    next_block(cursor, count, pieces);
    body(begin + done, count, pieces);
  }
}

void forward(const FakeQuantArgs& args) {
  Levels levels;
  const auto write = [&](std::ptrdiff_t at, std::ptrdiff_t size, const Pieces& pieces) {
    if (args.codes) {
      write_block(args.format, levels, pieces, args.x + at, static_cast<std::int8_t*>(args.out) + at, size);
    } else {
      write_block(args.format, levels, pieces, args.x + at, static_cast<float*>(args.out) + at, size);
    }
  };
  for_each_block(args.format.layout, args.begin, args.size, write);
}

void backward(const FakeQuantGradArgs& args) {
  Levels reciprocals;
  alignas(64) float parts[kBlock];
  const auto mask = [&](std::ptrdiff_t at, std::ptrdiff_t size, const Pieces& pieces) {
    fill<true>(reciprocals, args.format, pieces);
    const float *x = args.x + at, *gradient = args.gradient + at;
    if (args.format.zero_point != nullptr) {
      mask_elements<true>(x, args.format, reciprocals, gradient, args.x_gradient + at, parts, size);
    } else {
      mask_elements<false>(x, args.format, reciprocals, gradient, args.x_gradient + at, parts, size);
    }
    add_parts(pieces, parts, args.slots);
  };
  for_each_block(args.format.layout, args.begin, args.size, mask);
}

double magnitude(float x) { return x < 0 ? -static_cast<double>(x) : static_cast<double>(x); }

double sum_run(const float* x, std::ptrdiff_t size) {
  double lanes[kLanes] = {};
  const std::ptrdiff_t whole = size - size % kLanes;
  for (std::ptrdiff_t i = 0; i < whole; i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += magnitude(x[i + lane]);
  }
  for (std::ptrdiff_t i = whole; i < size; ++i) lanes[i - whole] += magnitude(x[i]);
  return sum_lanes(lanes);
}

void sum_magnitudes(const float* x, const ScaleLayout& layout, double* slots, std::ptrdiff_t begin,
                    std::ptrdiff_t size) {
  ScaleCursor cursor(layout, begin);
  for (std::ptrdiff_t done = 0; done < size;) {
    const Piece piece = cursor.next(size - done);
    const float* from = x + begin + done;
    if (piece.step == 0) slots[piece.slot] += sum_run(from, piece.size);
    for (std::ptrdiff_t j = 0; piece.step != 0 && j < piece.size; ++j) slots[piece.slot + j] += magnitude(from[j]);
    done += piece.size;
  }
}

}  // namespace

extern const FakeQuantTable PETRAIN_TABLE(fake_quant) = {forward, backward, sum_magnitudes};

}  // namespace petrain::kernels
