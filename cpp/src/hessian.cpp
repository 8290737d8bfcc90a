#include <algorithm>
#include <atomic>
#include <cmath>
#include <span>

#include "checks.hpp"
#include "chunks.hpp"
#include "hessian_sums.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kRows = HessianObserver::kRows;
constexpr std::int64_t kMostRows = std::int64_t{1} << 62;

void require_finite_rows(const ConstTensorView& x, std::int64_t rows, std::int64_t columns) {
  std::atomic<bool> finite{true};
  const auto& kernels = *active_kernels().quant;
  parallel(threads_for(std::min(rows, rows * columns / kElementsPerThread)), [&](const Team& team) {
    const ChunkRange mine = team.share(rows);
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      if (!std::isfinite(kernels.max_abs_run(x.as<float>() + i * columns, columns))) finite = false;
    }
  });
  if (!finite) require_finite(x, "x");
}

// Makes H whole, in the order of a matrix.
Tensor matrix_of(const Panels& h) {
  Tensor result = Tensor::uninitialized(DType::f64, {h.size, h.size});
  parallel_for(h.size, [&](std::int64_t i) {
    for (std::int64_t j = 0; j < h.size; ++j)
      result.as<double>()[i * h.size + j] = h.at(std::min(i, j), std::max(i, j));
  });
  return result;
}

std::int64_t checked_features(std::int64_t in_features) {
  if (in_features < 1 || in_features > (std::int64_t{1} << 20)) {
    throw std::invalid_argument("in_features: expected 1 to 1048576, got " + std::to_string(in_features));
  }
  return in_features;
}

// Rows, and the sums of none of them.
void require_count(const HessianObserver::State& state, std::int64_t pending) {
  if (state.count > kMostRows) {
    throw std::invalid_argument("count: expected at most 2^62, got " + std::to_string(state.count));
  }
  if (state.count < pending || (state.count - pending) % kRows != 0) {
    throw std::invalid_argument("pending: expected the rows of count " + std::to_string(state.count) +
                                " beyond a multiple of " + std::to_string(kRows) + ", got " + std::to_string(pending));
  }
  if (state.count > pending) return;
  for (const Tensor* sums : {&state.hessian, &state.sum}) {
    const std::span values(sums->as<double>(), static_cast<std::size_t>(sums->size()));
    if (std::all_of(values.begin(), values.end(), [](double value) { return value == 0; })) continue;
    throw std::invalid_argument("count: expected " + std::to_string(kRows) +
                                " rows or more beside the pending ones for sums that are not 0, got " +
                                std::to_string(state.count - pending));
  }
}

void require_finite_doubles(const Tensor& array, const std::string& what) {
  for (std::int64_t i = 0; i < array.size(); ++i) {
    if (std::isfinite(array.as<double>()[i])) continue;
    throw std::invalid_argument(what + ": expected finite values, got " + number_text(array.as<double>()[i]) +
                                " at element " + std::to_string(i));
  }
}

}  // namespace

HessianObserver::HessianObserver(std::int64_t in_features)
    : sums_(std::make_unique<Sums>(checked_features(in_features))) {}

HessianObserver::HessianObserver(const State& state) {
  if (state.sum.shape().size() != 1) {
    throw std::invalid_argument("sum: expected one dimension, got shape " + shape_text(state.sum.shape()));
  }
  const std::int64_t size = checked_features(state.sum.shape()[0]);
  require(state.sum.view(), DType::f64, {size}, "sum");
  require(state.hessian.view(), DType::f64, {size, size}, "hessian");
  const std::int64_t rows = state.pending.shape().size() == 2 ? state.pending.shape()[0] : 0;
  require(state.pending.view(), DType::f32, {rows, size}, "pending");
  if (rows >= kRows) {
    throw std::invalid_argument("pending: expected less than " + std::to_string(kRows) + " rows, got " +
                                std::to_string(rows));
  }
  require_count(state, rows);
  require_finite_doubles(state.sum, "sum");
  require_finite_doubles(state.hessian, "hessian");
  require_finite(state.pending.view(), "pending");
  const auto* values = state.hessian.as<double>();
  sums_ = std::make_unique<Sums>(size);
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = i; j < size; ++j) {
      if (values[i * size + j] != values[j * size + i] || values[i * size + i] < 0) {
        throw std::invalid_argument(
            "hessian: expected a symmetric matrix without negative numbers on its diagonal, "
            "got another at " +
            shape_text({i, j}));
      }
      sums_->h.at(i, j) = values[i * size + j];
    }
  }
  std::copy_n(state.sum.as<double>(), size, sums_->sum.begin());
  sums_->pending.assign(state.pending.as<float>(), state.pending.as<float>() + state.pending.size());
  sums_->count = state.count;
}

HessianObserver::~HessianObserver() = default;
HessianObserver::HessianObserver(HessianObserver&&) noexcept = default;
HessianObserver& HessianObserver::operator=(HessianObserver&&) noexcept = default;

void HessianObserver::observe(const ConstTensorView& x) {
  require_dtype(x, DType::f32, "x");
  const std::int64_t size = sums_->h.size;
  if (x.shape.empty() || x.shape.back() != size) {
    throw std::invalid_argument("x: expected " + std::to_string(size) + " input features in the last dimension, got " +
                                "shape " + shape_text(x.shape));
  }
  const std::int64_t rows = x.size() / size;
  require_finite_rows(x, rows, size);
  sums_->observe(x.as<float>(), rows);
}

void HessianObserver::merge(const HessianObserver& other) {
  if (other.sums_->h.size != sums_->h.size) {
    throw std::invalid_argument("other: expected " + std::to_string(sums_->h.size) + " input features, got " +
                                std::to_string(other.sums_->h.size));
  }
  Sums& mine = *sums_;
  const Sums& theirs = *other.sums_;
  if (theirs.count > kMostRows - mine.count) {
    throw std::invalid_argument("other: expected at most 2^62 rows in all, got " + std::to_string(mine.count) +
                                " and " + std::to_string(theirs.count));
  }
  const std::vector<float> pending = theirs.pending;  // a copy, as the other may be this one
  for (std::size_t i = 0; i < mine.h.values.size(); ++i) mine.h.values[i] += theirs.h.values[i];
  for (std::size_t i = 0; i < mine.sum.size(); ++i) mine.sum[i] += theirs.sum[i];
  const auto rows = static_cast<std::int64_t>(pending.size()) / mine.h.size;
  mine.count += theirs.count - rows;
  mine.observe(pending.data(), rows);
}

std::int64_t HessianObserver::in_features() const { return sums_->h.size; }
std::int64_t HessianObserver::count() const { return sums_->count; }

Tensor HessianObserver::hessian() const { return matrix_of(sums_->flushed().h); }

Tensor HessianObserver::mean() const {
  Tensor result(DType::f64, {sums_->h.size});
  auto* mean = result.as<double>();
  if (count() == 0) return result;
  const std::int64_t size = result.size();
  std::copy_n(sums_->sum.begin(), size, mean);
  for (std::size_t i = 0; i < sums_->pending.size(); ++i) mean[i % size] += sums_->pending[i];
  for (std::int64_t j = 0; j < size; ++j) mean[j] /= static_cast<double>(count());
  return result;
}

HessianObserver::State HessianObserver::state() const {
  const std::int64_t size = sums_->h.size;
  State state{matrix_of(sums_->h), Tensor(DType::f64, {size}),
              Tensor(DType::f32, {static_cast<std::int64_t>(sums_->pending.size()) / size, size}), sums_->count};
  std::copy_n(sums_->sum.begin(), size, state.sum.as<double>());
  std::copy(sums_->pending.begin(), sums_->pending.end(), state.pending.as<float>());
  return state;
}

Panels HessianAccess::symmetric(const HessianObserver& observer) {
  HessianObserver::Sums all = observer.sums_->flushed();
  all.mirror();
  return std::move(all.h);
}

}  // namespace petrain
