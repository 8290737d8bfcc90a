// What matrix rules are put together from: loops over chunks of a tensor, each of which gives the same bits for any
// number of threads.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "matrix_rule.hpp"
#include "src/chunks.hpp"
#include "src/denormals.hpp"
#include "src/threads.hpp"

namespace petrain::matrix {

// body(chunk, begin, size) for every chunk of an array.
template <class Body>
void for_chunks(bool flush, std::int64_t size, Body&& body) {
  const std::int64_t chunks = (size + kChunk - 1) / kChunk;
  parallel(threads_for(size / kElementsPerThread), [&](const Team& team) {
    const FlushDenormals own(flush);
    const ChunkRange mine = team.share(chunks);
    for (std::int64_t chunk = mine.begin; chunk < mine.end; ++chunk) {
      const std::int64_t begin = chunk * kChunk;
      body(chunk, begin, std::min(kChunk, size - begin));
    }
  });
}

// The sum over all chunks of what body(begin, size) gives.
template <class Body>
double sum_chunks(bool flush, std::int64_t size, Body&& body) {
  std::vector<double> parts(static_cast<std::size_t>((size + kChunk - 1) / kChunk));
  for_chunks(flush, size,
             [&](std::int64_t chunk, std::int64_t begin, std::int64_t count) { parts[chunk] = body(begin, count); });
  return tree_sum(parts);
}

// Gradients as the rule is to see them: scaled, clipped, in float32.
void read_gradient(const MatrixStep& step, std::int64_t begin, std::int64_t size, float* to);
Tensor read_gradient(const MatrixStep& step);

// p -= factor · update + decay · p, for the part of the parameter of which `update` is the first element, rounded as
// the parameter's group says.
void write_parameter(const MatrixStep& step, std::int64_t begin, std::int64_t size, const float* update, double factor,
                     double decay);
void write_parameter(const MatrixStep& step, const Tensor& update, double factor, double decay);

// A state as kernels see it.
// What a state is rounded by, which must not be what the parameter is rounded by.
std::uint32_t state_key(const MatrixStep& step, std::size_t index);
kernels::StateArgs state_args(const MatrixStep& step, std::size_t index, kernels::StateKind kind);

// to = factor · from, or to += factor · from, of float32 arrays.
void scaled_copy(bool flush, const float* from, std::int64_t size, double factor, float* to);
void add_scaled(bool flush, const float* from, std::int64_t size, double factor, float* to);

double sum_of_squares(const float* x, std::int64_t size);

// A tensor as a stack of matrices.
struct Stack {
  std::int64_t count, rows, cols;
};

// Σ x² over each row and each column of each matrix, in float64. get(begin, size, scratch) gives elements
// begin … begin + size, at most kChunk, for which there is room in the scratch.
struct SquareSums {
  std::vector<double> rows, cols;
};
using Get = std::function<const float*(std::int64_t begin, std::int64_t size, float* scratch)>;
SquareSums square_sums(bool flush, const Stack& stack, const Get& get);

// A number that is not negative as a finite float32.
inline float finite_float(double x) { return static_cast<float>(std::min(x, 0x1.fffffep127)); }

}  // namespace petrain::matrix
