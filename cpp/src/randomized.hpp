// Block Lanczos on AᵀA from a random start (Golub, Luk, Overton, ACM TOMS 7, 1981; its convergence: Musco, Musco,
// NeurIPS 2015): orthonormal V that grows by one block with each product by A and by Aᵀ, and the eigenvectors of the
// small VᵀAᵀA V. For the same products it comes much nearer to the best than subspace iteration. As all of V is kept
// orthonormal, A V need not be (Simon, Zha, SIAM J. Sci. Comput. 21, 2000): it is, with the eigenvectors, at the end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "convergence.hpp"
#include "matrix_by_rows.hpp"
#include "svd.hpp"
#include "symmetric.hpp"

namespace petrain {

template <class T>
class Lanczos {
 public:
  Lanczos(const MatrixByRows<T>& a, std::uint64_t seed) : a_(a), v_(a.matrix().cols, seed), images_(a.matrix().rows) {}

  std::int64_t size() const { return v_.count(); }
  double captured() const { return captured_; }  // ‖A V‖²_F

  void step();
  void begin_anew() { image_ = {}; }  // the next block is random, beside what is there

  SymmetricProblem problem() const;
  SingularTriplets triplets(const SymmetricProblem& problem, std::int64_t k, const Sides& sides) const;

  const Columns<T>& directions() const { return v_; }
  const Columns<T>& images() const { return images_; }
  void restore(const T* directions, const T* images, std::int64_t count);

 private:
  Thin<T> next(std::int64_t count) const;
  void add_gram(std::int64_t first);

  MatrixByRows<T> a_;
  Directions<T> v_;
  Columns<T> images_;
  Thin<T> image_;                  // of the last block
  std::vector<WideMatrix> grams_;  // of each block's images with all up to it
  double captured_ = 0;
};

template <class T>
class RandomizedSvd {
 public:
  // `square` is ‖A‖²_F; `loss` the part of it that may be lost, where that decides the rank and not k.
  RandomizedSvd(const MatrixByRows<T>& a, double square, std::int64_t k, std::optional<double> loss,
                const SvdOptions& options);

  bool step();  // false: nothing was left to do
  std::int64_t size() const { return growing_.size(); }
  std::int64_t expected() const { return std::max(size(), std::min(look_, most_)); }
  std::int64_t rank() const { return k_; }  // 0: not yet known
  SingularTriplets triplets(const Sides& sides = {});

  SvdState state() const;
  void restore(const SvdState& state);

 private:
  void require_numbers(const SvdState& state) const;
  void choose_rank();
  void expect(std::int64_t first);  // a look at this size
  void look();

  std::int64_t cols_, rows_;
  double square_;
  std::int64_t k_;  // 0: not yet known
  std::optional<double> loss_;
  SvdOptions options_;
  Lanczos<T> growing_;
  std::int64_t most_ = 0, look_ = 0;
  std::optional<Convergence> convergence_;
  std::optional<SymmetricProblem> problem_;
  std::vector<double> looks_;
  bool anew_ = false, done_ = false;
};

}  // namespace petrain
