#include <cmath>

#include "checks.hpp"
#include "chunks.hpp"
#include "isa.hpp"
#include "petrain/optim.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {

GradAccumulator::GradAccumulator(std::vector<Shape> shapes) {
  sums_.reserve(shapes.size());
  for (Shape& shape : shapes) sums_.emplace_back(DType::f32, std::move(shape));
  for (const Tensor& sum : sums_) views_.push_back(sum.view());
}

namespace {

// Both a weight and 1 / Σ weights are then far from what float32 cannot hold.
constexpr double kSmallestWeight = 1e-30, kLargestWeight = 1e30;

}  // namespace

bool GradAccumulator::add(std::span<const ConstTensorView> grads, double weight) {
  if (!(weight >= kSmallestWeight && weight <= kLargestWeight)) {
    throw std::invalid_argument("weight must be positive, from 1e-30 to 1e30, got " + number_text(weight));
  }
  require_count(grads.size(), sums_.size(), "gradients");
  struct Chunk {
    std::size_t array;
    std::int64_t begin, size;
  };
  std::vector<Chunk> chunks;
  std::int64_t elements = 0;
  for (std::size_t i = 0; i < grads.size(); ++i) {
    if (grads[i].data == nullptr && sums_[i].size() > 0) {
      throw std::invalid_argument("gradient " + std::to_string(i) + ": the parameter has no gradient");
    }
    require_float(grads[i], sums_[i].shape(), "gradient " + std::to_string(i));
    elements += sums_[i].size();
    for_each_chunk(i, sums_[i].size(), [&](std::size_t array, std::int64_t begin, std::int64_t size) {
      chunks.push_back({array, begin, size});
    });
  }
  const auto& kernels = active_kernels();
  const auto count = static_cast<std::int64_t>(chunks.size());
  std::vector<double> squares(chunks.size());
  bool finite = true;
  parallel(threads_for(elements / kElementsPerThread), [&](const Team& team) {
    const ChunkRange mine = team.share(count);
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      const Chunk& chunk = chunks[i];
      squares[i] = kernels.reduce->sum_of_squares(grads[chunk.array].data, storage_of(grads[chunk.array].dtype),
                                                  chunk.begin, chunk.size);
    }
    team.barrier();
    if (team.rank == 0) finite = std::isfinite(tree_sum(squares));
    team.barrier();
    if (!finite) return;
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      const Chunk& chunk = chunks[i];
      const ConstTensorView& grad = grads[chunk.array];
      kernels.optim->accumulate({sums_[chunk.array].as<float>(), grad.data, storage_of(grad.dtype), chunk.begin,
                                 chunk.size, static_cast<float>(weight), count_ == 0});
    }
  });
  if (!finite) return false;
  ++count_;
  weight_ += weight;
  return true;
}

void GradAccumulator::reset() {
  count_ = 0;
  weight_ = 0;
}

std::vector<Tensor> GradAccumulator::mean() const {
  if (count_ == 0) throw std::invalid_argument("the accumulator is empty: add gradients first");
  std::vector<Tensor> means;
  for (const Tensor& sum : sums_) {
    means.push_back(sum.clone());
    float* values = means.back().as<float>();
    const auto scale = static_cast<float>(1 / weight_);
    for (std::int64_t i = 0; i < sum.size(); ++i) values[i] *= scale;
  }
  return means;
}

}  // namespace petrain
