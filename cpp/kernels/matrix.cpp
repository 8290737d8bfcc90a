#include "matrix.hpp"

#include "block.hpp"
#include "lanes.hpp"
#include "load.hpp"

namespace petrain::kernels {
namespace {

constexpr float kLargest = 3.4028234663852886e38f;

template <class T>
void read_as(const ReadArgs& args) {
  const T scale = static_cast<T>(args.scale);
  const T most = args.max_value < kLargest ? static_cast<T>(args.max_value) : static_cast<T>(kLargest);
  alignas(64) T block[kBlock];
  for (std::ptrdiff_t done = 0; done < args.size; done += kBlock) {
    const std::ptrdiff_t count = args.size - done < kBlock ? args.size - done : kBlock;
    load(args.from, args.storage, args.begin + done, block, count);
    float* __restrict to = args.to + done;
    for (std::ptrdiff_t i = 0; i < count; ++i) to[i] = static_cast<float>(bounded(block[i] * scale, most));
  }
}

void read(const ReadArgs& args) {
  if (args.storage == Storage::f64) return read_as<double>(args);
  read_as<float>(args);
}

void squares(const SquaresArgs& args) {
  const std::ptrdiff_t whole = args.cols - args.cols % kLanes;
  double* __restrict col_sums = args.col_sums;
  const float* __restrict x = args.x;
  for (std::ptrdiff_t row = 0; row < args.rows; ++row, x += args.cols) {
    double lanes[kLanes] = {};
    for (std::ptrdiff_t j = 0; j < whole; j += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) {
        const double value = x[j + lane], square = value * value;
        lanes[lane] += square;
        col_sums[j + lane] += square;
      }
    }
    for (std::ptrdiff_t j = whole; j < args.cols; ++j) {
      const double value = x[j], square = value * value;
      lanes[j - whole] += square;
      col_sums[j] += square;
    }
    args.row_sums[row] += sum_lanes(lanes);
  }
}

// x[i] = scaled(i), for i from 0 on; adds the squares to the lanes.
template <class Scaled>
void replace(float* __restrict x, std::ptrdiff_t size, double (&lanes)[kLanes], Scaled scaled) {
  const std::ptrdiff_t whole = size - size % kLanes;
  for (std::ptrdiff_t i = 0; i < whole; i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const float value = scaled(x[i + lane], i + lane);
      x[i + lane] = value;
      lanes[lane] += static_cast<double>(value) * static_cast<double>(value);
    }
  }
  for (std::ptrdiff_t i = whole; i < size; ++i) {
    const float value = scaled(x[i], i);
    x[i] = value;
    lanes[i - whole] += static_cast<double>(value) * static_cast<double>(value);
  }
}

double scale(const ScaleArgs& args) {
  double lanes[kLanes] = {};
  std::ptrdiff_t row = args.begin / args.cols, col = args.begin % args.cols;
  for (std::ptrdiff_t done = 0; done < args.size; ++row, col = 0) {
    const std::ptrdiff_t rest = args.size - done, to_end = args.cols - col, count = rest < to_end ? rest : to_end;
    const float* __restrict factors = args.col_factors + row / args.rows * args.cols + col;
    const float row_factor = args.row_factors[row], most = args.most;
    replace(args.x + done, count, lanes, [=](float x, std::ptrdiff_t i) {
      const float factor = row_factor * factors[i];
      return x * (factor < most ? factor : most);
    });
    done += count;
  }
  return sum_lanes(lanes);
}

void momentum(const MomentumArgs& args) {
  alignas(64) float m[kBlock] = {};
  for (std::ptrdiff_t done = 0; done < args.size; done += kBlock) {
    const std::ptrdiff_t count = args.size - done < kBlock ? args.size - done : kBlock;
    load_state(args.state, args.begin + done, m, count);
    float* __restrict x = args.x + done;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      m[i] = args.momentum * m[i] + args.gradient * x[i];
      x[i] = args.keep * x[i] + args.look_ahead * m[i];
    }
    store_state(args.state, args.begin + done, m, count, args.key);
  }
}

double variance(const VarianceArgs& args) {
  double lanes[kLanes] = {};
  float* __restrict v = args.v;
  const float keep = args.keep, add = args.add, most = args.most;
  replace(args.x, args.size, lanes, [=](float x, std::ptrdiff_t i) {
    const float square = x * x, bounded_square = square < kLargest ? square : kLargest;
    v[i] = keep * v[i] + add * bounded_square;
    const float factor = 1.0f / std::sqrt(v[i]);
    return x * (factor < most ? factor : most);
  });
  return sum_lanes(lanes);
}

}  // namespace

extern const MatrixTable PETRAIN_TABLE(matrix) = {read, squares, scale, momentum, variance};

}  // namespace petrain::kernels
