// Block Lanczos on AᵀA from a random start (Golub, Luk, Overton, ACM TOMS 7, 1981; its convergence: Musco, Musco,
// NeurIPS 2015): orthonormal V that grows by one block with each product by A and by Aᵀ, and the eigenvectors of the
// small VᵀAᵀA V. For the same products it comes much nearer to the best than subspace iteration. As all of V is kept
// orthonormal, A V need not be (Simon, Zha, SIAM J. Sci. Comput. 21, 2000): it is, with the eigenvectors, at the end.
#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "convergence.hpp"
#include "directions.hpp"
#include "svd.hpp"
#include "symmetric.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kBlock = kRandomizedBlock;

template <class T>
class Lanczos {
 public:
  Lanczos(const ConstMatrixOf<T>& a, std::uint64_t seed) : a_(a), v_(a.cols, seed), images_(a.rows) {}

  std::int64_t size() const { return v_.count(); }

  void step() {
    const std::int64_t first = size(), count = std::min(kBlock, a_.cols - first);
    v_.append_rest(image_.cols == 0 ? v_.random(count) : next(count));
    image_ = Thin<T>(a_.rows, count);
    add_product(a_, v_.view(first, count), image_, false);
    images_.append(image_);
    grams_.push_back(multiply(images_.view().transposed(), image_.view()));
  }

  // From a random block, beside what is there.
  void begin_anew() { image_ = {}; }

  SymmetricProblem problem() const {
    WideMatrix gram(size(), size());
    std::int64_t first = 0;
    for (const WideMatrix& columns : grams_) {
      for (std::int64_t i = 0; i < columns.rows; ++i) std::copy_n(columns.row(i), columns.cols, gram.row(i) + first);
      first += columns.cols;
    }
    return SymmetricProblem(std::move(gram));
  }

  SingularTriplets triplets(const SymmetricProblem& problem, std::int64_t k) const {
    const WideMatrix vectors = problem.vectors(k);
    Thin<T> rounded(size(), k), right(a_.cols, k);
    for (std::int64_t i = 0; i < size(); ++i) std::copy_n(vectors.row(i), k, rounded.values.data() + i * k);
    add_product(v_.view(), rounded.view(), right, false);
    WideMatrix v(a_.cols, k);
    for (std::int64_t i = 0; i < a_.cols; ++i) std::copy_n(right.values.data() + i * k, k, v.row(i));
    return in_order(multiply(images_.view(), vectors.view()), std::move(v), kOrthonormal<T>);
  }

 private:
  // Aᵀ times the last images, less most of what V holds of it: that is known.
  Thin<T> next(std::int64_t count) const {
    Thin<T> y(a_.cols, count), known(size(), count);
    const ConstMatrixOf<T> image(image_.values.data(), image_.rows, count, image_.cols, 1);
    add_product(a_.transposed(), image, y, false);
    for (std::int64_t i = 0; i < known.rows; ++i) {
      for (std::int64_t j = 0; j < count; ++j) known.values[i * count + j] = static_cast<T>(-grams_.back().row(i)[j]);
    }
    add_product(v_.view(), known.view(), y, true);
    return y;
  }

  ConstMatrixOf<T> a_;
  Directions<T> v_;
  Columns<T> images_;
  Thin<T> image_;                  // of the last block
  std::vector<WideMatrix> grams_;  // of each block's images with all up to it
};

// Whether so many of the first values lie so close together that a start of as many columns may have found a part of
// those that there are.
bool crowded(const std::vector<double>& values, std::int64_t k) {
  constexpr double kSpread = 0.02;
  for (std::int64_t i = 0; i < k && i + kBlock <= static_cast<std::int64_t>(values.size()); ++i) {
    if (values[i + kBlock - 1] >= (1 - kSpread) * values[i]) return true;
  }
  return false;
}

std::int64_t blocks(std::int64_t count) { return (count + kBlock - 1) / kBlock; }

}  // namespace

template <class T>
SingularTriplets randomized_svd(const ConstMatrixOf<T>& a, double square, std::int64_t k, const SvdOptions& options) {
  const std::int64_t l = k + std::min(options.oversample, a.cols - k);
  const std::int64_t further = std::min(options.n_iter.value_or(blocks(a.cols)), blocks(a.cols));
  const std::int64_t most = std::min(a.cols, (blocks(l) + further) * kBlock);
  const std::int64_t spacing = std::max<std::int64_t>(1, blocks(l) / 7) * kBlock;
  Lanczos<T> growing(a, options.seed);
  Convergence convergence(square, options.tol, spacing);
  std::optional<SymmetricProblem> problem;
  bool anew = false;
  for (std::int64_t look = l; growing.size() < most;) {
    growing.step();
    problem.reset();
    if (options.n_iter || growing.size() < look || growing.size() == most) continue;
    problem.emplace(growing.problem());
    const std::vector<double>& values = problem->values();
    convergence.look(std::accumulate(values.begin(), values.begin() + k, 0.0), growing.size());
    if (!convergence.done()) {
      anew = false;
      look = growing.size() + convergence.until_next();
      continue;
    }
    if (anew || !crowded(values, k)) break;
    growing.begin_anew();
    anew = true;
    look = growing.size() + 2 * kBlock;
  }
  if (!problem) problem.emplace(growing.problem());
  return growing.triplets(*problem, k);
}

template SingularTriplets randomized_svd(const ConstMatrix&, double, std::int64_t, const SvdOptions&);
template SingularTriplets randomized_svd(const ConstMatrixOf<double>&, double, std::int64_t, const SvdOptions&);

}  // namespace petrain
