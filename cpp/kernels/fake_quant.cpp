#include "fake_quant.hpp"

#include "fake_quant_blocks.hpp"

namespace petrain::kernels {
namespace {

// body(first element, size) for each block of a chunk.
template <class Body>
void for_each_block(std::ptrdiff_t begin, std::ptrdiff_t size, Body body) {
  for (std::ptrdiff_t done = 0; done < size; done += kBlock) {
    body(begin + done, size - done < kBlock ? size - done : kBlock);
  }
}

void forward(const FakeQuantArgs& args) {
  ScaleCursor cursor(args.format.layout, args.begin);
  Levels levels;
  for_each_block(args.begin, args.size, [&](std::ptrdiff_t at, std::ptrdiff_t size) {
    if (args.codes) {
      write_block(args.format, levels, cursor, args.x + at, static_cast<std::int8_t*>(args.out) + at, size);
    } else {
      write_block(args.format, levels, cursor, args.x + at, static_cast<float*>(args.out) + at, size);
    }
  });
}

void backward(const FakeQuantGradArgs& args) {
  ScaleCursor cursor(args.format.layout, args.begin);
  Levels levels;
  for_each_block(args.begin, args.size, [&](std::ptrdiff_t at, std::ptrdiff_t size) {
    gradient_block(args.format, levels, cursor, args.x + at, args.gradient + at, args.x_gradient + at, args.slots,
                   size);
  });
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
