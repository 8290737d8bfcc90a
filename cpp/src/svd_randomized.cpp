// Block Golub-Kahan-Lanczos from a random start (Golub, Luk, Overton, ACM TOMS 7, 1981; its convergence: Musco, Musco,
// NeurIPS 2015): orthonormal U and V that grow by one block with each product by A and by Aᵀ, so that A V = U B, and
// the decomposition of the small B. For the same products it comes much nearer to the best than subspace iteration.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "random.hpp"
#include "svd.hpp"
#include "symmetric.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kMostTimes = 8;    // directions beyond those asked for, times these
constexpr double kGainThatCounts = 5e-4;  // of what is not yet captured, in ‖·‖²_F
constexpr double kNoise = 1e-8;           // of all: float32 products cannot tell less

ConstMatrix view(const Tensor& matrix) { return {matrix.as<float>(), matrix.shape()[0], matrix.shape()[1]}; }

Tensor product(const ConstMatrix& a, const ConstMatrix& b) {
  Tensor c(DType::f32, {a.rows, b.cols});
  gemm(a, b, c.as<float>(), b.cols);
  return c;
}

WideMatrix widened(const ConstMatrix& a) {
  WideMatrix wide(a.rows, a.cols);
  for (std::int64_t i = 0; i < a.rows; ++i) std::copy_n(a.data + i * a.cols, a.cols, wide.row(i));
  return wide;
}

Tensor narrowed(const WideMatrix& wide) {
  Tensor result(DType::f32, {wide.rows, wide.cols});
  for (std::int64_t i = 0; i < wide.rows; ++i) {
    for (std::int64_t j = 0; j < wide.cols; ++j)
      result.as<float>()[i * wide.cols + j] = static_cast<float>(wide.row(i)[j]);
  }
  return result;
}

// Makes the columns of y orthonormal by Cholesky QR, its Gram matrix in float64, and once more where they were far from
// it ("CholeskyQR2": Yamamoto et al., ETNA 44, 2015). Where they are too dependent to be divided in float32,
// Householder's QR in float64. Returns how near to orthogonal they were: the least squared sine, as above.
double orthonormal_basis(Tensor& y) {
  constexpr double kDependent = 1e-9, kNear = 0.9;
  double least = 0;
  for (int pass = 0; pass < 2; ++pass) {
    WideMatrix inverse;
    const double pivot = inverse_cholesky(gram(view(y)), inverse);
    if (pass == 0) least = pivot;
    if (pivot < kDependent) {
      WideMatrix wide = widened(view(y));
      orthonormalize(wide);
      for (std::int64_t i = 0; i < wide.rows; ++i) {
        std::copy_n(wide.row(i), wide.cols, y.as<float>() + i * wide.cols);
      }
      break;
    }
    y = product(view(y), view(narrowed(inverse)));
    if (pivot > kNear) break;
  }
  return least;
}

// Orthonormal columns, row-major, to which more are added.
class Basis {
 public:
  Basis(std::int64_t rows, std::int64_t most, std::uint64_t seed)
      : rows_(rows), seed_(seed), values_(Tensor::uninitialized(DType::f32, {rows, most})) {}

  std::int64_t cols() const { return cols_; }
  ConstMatrix view() const { return {values_.as<float>(), rows_, cols_, values_.shape()[1], 1}; }
  ConstMatrix block(std::int64_t first, std::int64_t count) const {
    return {values_.as<float>() + first, rows_, count, values_.shape()[1], 1};
  }

  // Adds directions with which the columns of y are in the span. Again and again, mostly twice, until little is taken
  // off that rounding could have left behind (Giraud, Langou, Rozložník, Comput. Math. Appl. 50, 2005).
  void append(Tensor y) {
    constexpr double kMostOff = 0.5;
    constexpr int kMostPasses = 5;
    for (int pass = 0; pass < kMostPasses; ++pass) {
      const double left = leave_rest(y), apart = orthonormal_basis(y);
      if (std::min(left, apart) > kMostOff) break;
    }
    const std::int64_t count = y.shape()[1];
    for (std::int64_t i = 0; i < rows_; ++i)
      std::copy_n(y.as<float>() + i * count, count, values_.as<float>() + i * values_.shape()[1] + cols_);
    cols_ += count;
  }

 private:
  // Takes off y what is in the span. Returns how much was left of the square of that column which lost most, where
  // that is no more than rounding 0, and a random column is in its place.
  double leave_rest(Tensor& y) {
    constexpr double kRounding = 1e-10;
    const std::vector<double> before = squares(y);
    if (cols_ > 0) {
      Tensor inner = product(view().transposed(), petrain::view(y));
      for (std::int64_t i = 0; i < inner.size(); ++i) inner.as<float>()[i] *= -1;
      gemm(view(), petrain::view(inner), y.as<float>(), y.shape()[1], true);
    }
    const std::vector<double> after = squares(y);
    const std::int64_t count = y.shape()[1];
    double least = 1;
    for (std::int64_t j = 0; j < count; ++j) {
      const auto column = static_cast<std::size_t>(j);
      if (after[column] > kRounding * before[column]) {
        least = std::min(least, after[column] / before[column]);
        continue;
      }
      least = 0;
      std::vector<float> random(static_cast<std::size_t>(rows_));
      fill_normal(seed_, static_cast<std::uint64_t>(cols_ + j + 1), 0, 1, random.data(), rows_);
      for (std::int64_t i = 0; i < rows_; ++i) y.as<float>()[i * count + j] = random[static_cast<std::size_t>(i)];
    }
    return least;
  }

  static std::vector<double> squares(const Tensor& y) {
    const std::int64_t count = y.shape()[1];
    std::vector<double> sums(static_cast<std::size_t>(count));
    for (const float *row = y.as<float>(), *end = row + y.size(); row != end; row += count) {
      for (std::int64_t j = 0; j < count; ++j)
        sums[static_cast<std::size_t>(j)] += static_cast<double>(row[j]) * row[j];
    }
    return sums;
  }

  std::int64_t rows_, cols_ = 0;
  std::uint64_t seed_;
  Tensor values_;
};

// A V = U B, which grows step by step.
class Bidiagonalization {
 public:
  Bidiagonalization(const ConstMatrix& a, std::int64_t most, std::uint64_t seed)
      : a_(a), most_(most), u_(a.rows, most, seed), v_(a.cols, most, seed), b_(DType::f32, {most, most}), seed_(seed) {
    begin_anew();
  }

  // From a random block, beside what is there.
  void begin_anew() {
    next_ = Tensor(DType::f32, {a_.cols, std::min(kRandomizedBlock, most_ - size())});
    fill_normal(seed_, static_cast<std::uint64_t>(size()) << 32, 0, 1, next_.as<float>(), next_.size());
  }

  std::int64_t size() const { return v_.cols(); }

  void step() {
    const std::int64_t first = size();
    if (first > 0 && next_.empty())
      next_ = product(a_.transposed(), u_.block(last_, std::min(kRandomizedBlock, most_ - first)));
    last_ = first;
    v_.append(std::exchange(next_, {}));
    const Tensor image = product(a_, v_.block(first, size() - first));
    u_.append(image.clone());
    gemm(u_.view().transposed(), view(image), b_.as<float>() + first, most_);
  }

  std::vector<double> squares() const { return SymmetricProblem(gram(inner())).values(); }  // of B's singular values

  SingularTriplets triplets(std::int64_t k) const {
    const SingularTriplets small = lift(inner(), SymmetricProblem(gram(inner())).vectors(k), k);
    return {multiply(u_.view(), small.u, k), multiply(v_.view(), small.v, k), small.s};
  }

 private:
  ConstMatrix inner() const { return {b_.as<float>(), size(), size(), most_, 1}; }

  const ConstMatrix& a_;
  std::int64_t most_, last_ = 0;
  Basis u_, v_;
  Tensor b_, next_;
  std::uint64_t seed_;
};

std::int64_t blocks(std::int64_t count) { return (count + kRandomizedBlock - 1) / kRandomizedBlock; }

}  // namespace

SingularTriplets randomized_svd(const ConstMatrix& a, double square, std::int64_t k, const SvdOptions& options) {
  const std::int64_t l = k + std::min(options.oversample, a.cols - k);
  const std::int64_t further = std::min(options.n_iter.value_or(kMostTimes * blocks(l)), blocks(a.cols));
  const std::int64_t most = std::min(a.cols, (blocks(l) + further) * kRandomizedBlock);
  Bidiagonalization growing(a, most, options.seed);
  double captured = 0, gain = 0;
  std::int64_t look = l;  // at a size: it costs as much as some steps
  int looks = 0;
  bool fresh = k <= kRandomizedBlock;
  while (growing.size() < most) {
    growing.step();
    if (options.n_iter || growing.size() < look) continue;
    look = growing.size() + std::max(kRandomizedBlock, growing.size() / 6);
    const std::vector<double> squares = growing.squares();
    const double before = std::exchange(captured, std::accumulate(squares.begin(), squares.begin() + k, 0.0));
    const double earlier = std::exchange(gain, captured - before);
    if (++looks < 3) continue;  // two gains are known from then on
    const double limit = std::max(kGainThatCounts * (square - captured), kNoise * square);
    const double ratio = gain < earlier ? gain / earlier : 1;
    const bool done = gain <= limit && (ratio < 1 ? gain * ratio / (1 - ratio) : gain) <= limit;
    if (done && fresh) break;
    // A start of so many columns finds no more directions of a singular value that is there more often: others do.
    if (done && growing.size() < most) {
      growing.begin_anew();
      look = growing.size() + 2 * kRandomizedBlock;
    }
    fresh = k <= kRandomizedBlock || done;
  }
  return growing.triplets(k);
}

}  // namespace petrain
