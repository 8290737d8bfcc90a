#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "randomized.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kBlock = kRandomizedBlock;

std::int64_t blocks(std::int64_t count) { return (count + kBlock - 1) / kBlock; }

// Whether so many of the first values lie so close together that a start of as many columns may have found a part of
// those that there are.
bool crowded(const std::vector<double>& values, std::int64_t k) {
  constexpr double kSpread = 0.02;
  for (std::int64_t i = 0; i < k && i + kBlock <= static_cast<std::int64_t>(values.size()); ++i) {
    if (values[i + kBlock - 1] >= (1 - kSpread) * values[i]) return true;
  }
  return false;
}

std::int64_t rank_holding(const std::vector<double>& values, double wanted) {
  double sum = values[0];
  std::size_t rank = 1;
  while (rank < values.size() && sum < wanted) sum += values[rank++];
  return static_cast<std::int64_t>(rank);
}

}  // namespace

template <class T>
RandomizedSvd<T>::RandomizedSvd(const MatrixByRows<T>& a, double square, std::int64_t k, std::optional<double> loss,
                                const SvdOptions& options)
    : cols_(a.matrix().cols),
      rows_(a.matrix().rows),
      square_(square),
      k_(0),
      loss_(loss),
      options_(options),
      growing_(a, options.seed) {
  most_ = cols_;
  if (loss_) return;
  k_ = k;
  const std::int64_t l = k + std::min(options.oversample, cols_ - k);
  const std::int64_t further = std::min(options.n_iter.value_or(blocks(cols_)), blocks(cols_));
  most_ = std::min(cols_, (blocks(l) + further) * kBlock);
  expect(options.n_iter ? most_ : l);
}

// By what the directions hold altogether: never too small, and no more than a few too large.
template <class T>
void RandomizedSvd<T>::choose_rank() {
  if (square_ - growing_.captured() > *loss_ * square_) return;
  problem_.emplace(growing_.problem());
  k_ = rank_holding(problem_->values(), (1 - *loss_) * square_);
  expect(k_);
}

template <class T>
void RandomizedSvd<T>::expect(std::int64_t first) {
  look_ = first;
  convergence_.emplace(square_, options_.tol, sizeof(T) == 4 ? 1e-8 : 1e-15,
                       std::max<std::int64_t>(1, blocks(first) / 7) * kBlock);
}

template <class T>
bool RandomizedSvd<T>::step() {
  if (done_ || size() == most_) return false;
  growing_.step();
  problem_.reset();
  if (!k_) choose_rank();
  if (!k_ || options_.n_iter || size() < look_ || size() == most_) return true;
  if (!problem_) problem_.emplace(growing_.problem());
  const std::vector<double>& values = problem_->values();
  looks_.push_back(std::accumulate(values.begin(), values.begin() + k_, 0.0));
  looks_.push_back(static_cast<double>(size()));
  look();
  return !done_;
}

template <class T>
void RandomizedSvd<T>::look() {
  const std::size_t last = looks_.size() - 2;
  convergence_->look(looks_[last], static_cast<std::int64_t>(looks_[last + 1]));
  if (!convergence_->done()) {
    anew_ = false;
    look_ = size() + convergence_->until_next();
  } else if (anew_ || !crowded(problem_->values(), k_)) {
    done_ = true;
  } else {
    growing_.begin_anew();
    anew_ = true;
    look_ = size() + 2 * kBlock;
  }
}

template <class T>
SingularTriplets RandomizedSvd<T>::triplets(const Sides& sides) {
  if (!problem_) problem_.emplace(growing_.problem());
  if (loss_) k_ = rank_holding(problem_->values(), (1 - *loss_) * square_);
  return growing_.triplets(*problem_, k_, sides);
}

// k, the next look, whether it began anew, and the looks.
template <class T>
SvdState RandomizedSvd<T>::state() const {
  const auto copy = [&](const Columns<T>& columns, std::int64_t length) {
    Tensor result = Tensor::uninitialized(dtype_of<T>(), {size(), length});
    std::copy_n(columns.view().data, result.size(), result.template as<T>());
    return result;
  };
  SvdState state{copy(growing_.directions(), cols_), copy(growing_.images(), rows_), {}};
  state.numbers = {static_cast<double>(k_), static_cast<double>(look_), anew_ ? 1.0 : 0.0};
  state.numbers.insert(state.numbers.end(), looks_.begin(), looks_.end());
  return state;
}

// As state() makes them of this matrix and these arguments.
template <class T>
void RandomizedSvd<T>::require_numbers(const SvdState& state) const {
  const auto whole = [](double x, double low, double high) { return x >= low && x <= high && x == std::floor(x); };
  const std::vector<double>& s = state.numbers;
  const auto count = static_cast<double>(state.directions.shape()[0]);
  const bool looked = s.size() > 3;
  bool good = (loss_ ? whole(s[0], 0, count) : s[0] == static_cast<double>(k_)) &&
              whole(s[1], 0, 2.0 * static_cast<double>(cols_) + 64) && (s[2] == 0 || (s[2] == 1 && looked)) &&
              (!looked || (s[0] > 0 && !options_.n_iter));
  double last = 0;
  for (std::size_t i = 3; good && i < s.size(); i += 2) {
    good = std::isfinite(s[i]) && whole(s[i + 1], last + 1, count);
    last = s[i + 1];
  }
  for (const Tensor* part : {&state.directions, &state.images}) {
    const T* values = part->template as<T>();
    good = good && std::all_of(values, values + part->size(), [](T x) { return std::isfinite(x); });
  }
  if (!good) throw std::invalid_argument("state: expected one of the same matrix and the same arguments");
}

template <class T>
void RandomizedSvd<T>::restore(const SvdState& state) {
  const std::int64_t count = state.directions.shape().empty() ? -1 : state.directions.shape()[0];
  if (count < 1 || count > most_ || state.directions.shape() != Shape{count, cols_} ||
      state.images.shape() != Shape{count, rows_} || state.directions.dtype() != dtype_of<T>() ||
      state.images.dtype() != dtype_of<T>() || state.numbers.size() < 3 || state.numbers.size() % 2 == 0) {
    throw std::invalid_argument("state: expected one of the same matrix and the same arguments");
  }
  require_numbers(state);
  growing_.restore(state.directions.template as<T>(), state.images.template as<T>(), count);
  k_ = static_cast<std::int64_t>(state.numbers[0]);
  if (loss_ && k_) expect(k_);
  look_ = static_cast<std::int64_t>(state.numbers[1]);
  anew_ = state.numbers[2] != 0;
  looks_.assign(state.numbers.begin() + 3, state.numbers.end());
  for (std::size_t i = 0; i < looks_.size(); i += 2)
    convergence_->look(looks_[i], static_cast<std::int64_t>(looks_[i + 1]));
  if (anew_ && looks_.back() == static_cast<double>(size())) growing_.begin_anew();
}

template class RandomizedSvd<float>;
template class RandomizedSvd<double>;

}  // namespace petrain
