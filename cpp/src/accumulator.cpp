#include <cmath>

#include "checks.hpp"
#include "chunks.hpp"
#include "greatest_norms.hpp"
#include "isa.hpp"
#include "petrain/optim.hpp"
#include "random.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {

namespace {

// Both a weight and 1 / Σ weights are then far from what float32 cannot hold.
constexpr double kSmallestWeight = 1e-30, kLargestWeight = 1e30;

Tensor sum_memory(const Shape& shape, DType dtype) {
  if (dtype == DType::f32) return Tensor(dtype, shape);
  const std::size_t group = dtype == DType::bf16 ? sizeof(kernels::SumBf16) : sizeof(kernels::SumCode8);
  const std::int64_t groups = (element_count(shape) + 63) / 64;
  return Tensor(DType::u8, {groups * static_cast<std::int64_t>(group)});
}

}  // namespace

GradAccumulator::GradAccumulator(std::vector<Shape> shapes, DType dtype) : dtype_(dtype) {
  if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::i8) {
    throw std::invalid_argument(std::string("dtype: expected float32, bfloat16 or int8, got ") + dtype_name(dtype));
  }
  sums_.reserve(shapes.size());
  for (Shape& shape : shapes) {
    sums_.push_back(sum_memory(shape, dtype));
    // Sums of fewer bits have at least two bytes for each element, which is all that is known from here on.
    views_.push_back({sums_.back().view().data, dtype == DType::f32 ? dtype : DType::bf16, std::move(shape)});
  }
}

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
    if (grads[i].data == nullptr && views_[i].size() > 0) {
      throw std::invalid_argument("gradient " + std::to_string(i) + ": the parameter has no gradient");
    }
    require_float(grads[i], views_[i].shape, "gradient " + std::to_string(i));
    elements += views_[i].size();
    for_each_chunk(i, views_[i].size(), [&](std::size_t array, std::int64_t begin, std::int64_t size) {
      chunks.push_back({array, begin, size});
    });
  }
  const auto& kernels = active_kernels();
  const auto count = static_cast<std::int64_t>(chunks.size());
  std::vector<double> squares(chunks.size());
  bool fit = true;
  const auto judge = [&] {
    GreatestNorms greatest;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      greatest.take(std::sqrt(squares[i]), grads[chunks[i].array].dtype == DType::f64);
    }
    fit = greatest.fit(weight) && std::isfinite(tree_sum(squares));
  };
  in_step(threads_for(elements / kElementsPerThread), [&](const SteppingTeam& team) {
    const ChunkRange mine = team.share(count);
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      const Chunk& chunk = chunks[i];
      squares[i] = kernels.reduce->sum_of_squares(grads[chunk.array].data, storage_of(grads[chunk.array].dtype),
                                                  chunk.begin, chunk.size);
    }
    team.barrier();
    if (team.rank == 0) judge();
    team.barrier();
    if (!fit) return;
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      const Chunk& chunk = chunks[i];
      const ConstTensorView& grad = grads[chunk.array];
      const auto key = random_bits(0, chunk.array, static_cast<std::uint64_t>(count_));
      kernels.optim->accumulate({sums_[chunk.array].as<std::byte>(), grad.data, storage_of(grad.dtype), chunk.begin,
                                 chunk.size, static_cast<float>(weight), count_ == 0, sum_storage_of(dtype_),
                                 static_cast<std::uint32_t>(key)});
    }
  });
  if (!fit) return false;
  ++count_;
  weight_ += weight;
  return true;
}

void GradAccumulator::reset() {
  count_ = 0;
  weight_ = 0;
}

std::size_t GradAccumulator::nbytes() const {
  std::size_t bytes = 0;
  for (const Tensor& sum : sums_) bytes += sum.nbytes();
  return bytes;
}

std::vector<Tensor> GradAccumulator::mean() const {
  if (count_ == 0) throw std::invalid_argument("the accumulator is empty: add gradients first");
  std::vector<Tensor> means;
  for (const ConstTensorView& sum : views_) {
    means.emplace_back(DType::f32, sum.shape);
    active_kernels().optim->accumulate({means.back().as<float>(), sum.data, sum_storage_of(dtype_), 0, sum.size(),
                                        static_cast<float>(1 / weight_), true});
  }
  return means;
}

}  // namespace petrain
