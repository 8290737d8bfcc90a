#include "pieces.hpp"

#include <cmath>
#include <limits>

#include "kernels/rules.hpp"
#include "src/isa.hpp"
#include "src/storage.hpp"

namespace petrain::matrix {

void read_gradient(const MatrixStep& step, std::int64_t begin, std::int64_t size, float* to) {
  active_kernels().matrix->read(
      {step.args.grad, step.args.grad_storage, begin, size, step.args.grad_scale, step.args.max_value, to});
}

Tensor read_gradient(const MatrixStep& step) {
  Tensor gradient = Tensor::uninitialized(DType::f32, step.shape);
  for_chunks(step.flush, gradient.size(), [&](std::int64_t, std::int64_t begin, std::int64_t size) {
    read_gradient(step, begin, size, gradient.as<float>() + begin);
  });
  return gradient;
}

// SGD's kernel knows all types and all ways of rounding.
void write_parameter(const MatrixStep& step, std::int64_t begin, std::int64_t size, const float* update, double factor,
                     double decay) {
  using kernels::Sgd;
  double hypers[std::size(Sgd::hypers)] = {};
  hypers[Sgd::lr] = 1;
  hypers[Sgd::weight_decay] = decay;
  const auto single = Sgd::prepare<float>(hypers, 1, nullptr);
  const auto twofold = Sgd::prepare<double>(hypers, 1, nullptr);
  const bool wide = step.args.param_storage == kernels::Storage::f64;
  kernels::StepArgs args = step.args;
  args.grad = update;
  args.grad_storage = kernels::Storage::f32;
  args.begin = begin;
  args.grad_begin = 0;
  args.size = size;
  args.grad_scale = factor;
  args.max_value = std::numeric_limits<double>::infinity();
  args.coefficients = wide ? static_cast<const void*>(&twofold) : &single;
  active_kernels().optim->step[kernels::SgdIndex][wide ? 1 : 0](args);
}

void write_parameter(const MatrixStep& step, const Tensor& update, double factor, double decay) {
  for_chunks(step.flush, update.size(), [&](std::int64_t, std::int64_t begin, std::int64_t size) {
    write_parameter(step, begin, size, update.as<float>() + begin, factor, decay);
  });
}

std::uint32_t state_key(const MatrixStep& step, std::size_t index) {
  return kernels::state_key(step.args.key, static_cast<int>(index));
}

kernels::StateArgs state_args(const MatrixStep& step, std::size_t index, kernels::StateKind kind) {
  return {step.states[index].as<std::byte>(), step.scales[index].as<float>(), storage_of(step.states[index].dtype()),
          kind};
}

void scaled_copy(bool flush, const float* from, std::int64_t size, double factor, float* to) {
  for_chunks(flush, size, [&](std::int64_t, std::int64_t begin, std::int64_t count) {
    active_kernels().optim->accumulate(
        {to, from, kernels::Storage::f32, begin, count, static_cast<float>(factor), true});
  });
}

void add_scaled(bool flush, const float* from, std::int64_t size, double factor, float* to) {
  for_chunks(flush, size, [&](std::int64_t, std::int64_t begin, std::int64_t count) {
    active_kernels().optim->accumulate(
        {to, from, kernels::Storage::f32, begin, count, static_cast<float>(factor), false});
  });
}

double sum_of_squares(const float* x, std::int64_t size) {
  return sum_chunks(false, size, [&](std::int64_t begin, std::int64_t count) {
    return active_kernels().reduce->sum_of_squares(x, kernels::Storage::f32, begin, count);
  });
}

// A unit of work is a strip of the columns of a block of the rows; each has sums of its own, which are added in order.
SquareSums square_sums(bool flush, const Stack& stack, const Get& get) {
  constexpr std::int64_t kStrip = 2048, kBlockSize = 65536, kMostBlocks = 32;
  const std::int64_t count = stack.count, rows = stack.rows, cols = stack.cols;
  const std::int64_t blocks = std::min(std::clamp<std::int64_t>(rows * cols / kBlockSize, 1, kMostBlocks), rows);
  const std::int64_t strips = (cols + kStrip - 1) / kStrip, all_rows = count * rows, all_cols = count * cols;
  const std::int64_t rows_at_once = strips == 1 ? kChunk / cols : 1;
  std::vector<double> row_parts(strips * all_rows), col_parts(blocks * all_cols);
  const std::int64_t units = count * blocks * strips;
  parallel(threads_for(std::min(units, all_rows * cols / kElementsPerThread)), [&](const Team& team) {
    const FlushDenormals own(flush);
    alignas(64) float scratch[kChunk];
    const ChunkRange mine = team.share(units);
    for (std::int64_t unit = mine.begin; unit < mine.end; ++unit) {
      const std::int64_t strip = unit % strips, block = unit / strips % blocks, matrix = unit / strips / blocks;
      const std::int64_t first_col = strip * kStrip, width = std::min(kStrip, cols - first_col);
      const std::int64_t end = rows * (block + 1) / blocks;
      for (std::int64_t row = rows * block / blocks; row < end; row += rows_at_once) {
        const std::int64_t some = std::min(rows_at_once, end - row), all_row = matrix * rows + row;
        const float* x = get(all_row * cols + first_col, some * width, scratch);
        active_kernels().matrix->squares({x, some, width, row_parts.data() + strip * all_rows + all_row,
                                          col_parts.data() + block * all_cols + matrix * cols + first_col});
      }
    }
  });
  const auto sum = [](std::vector<double>& parts, std::int64_t size) {
    for (std::int64_t i = size; i < static_cast<std::int64_t>(parts.size()); ++i) parts[i % size] += parts[i];
    parts.resize(size);
  };
  sum(row_parts, all_rows);
  sum(col_parts, all_cols);
  return {std::move(row_parts), std::move(col_parts)};
}

}  // namespace petrain::matrix
