#include <algorithm>
#include <utility>

#include "randomized.hpp"

namespace petrain {

template <class T>
void Lanczos<T>::step() {
  const std::int64_t first = size(), count = std::min(kRandomizedBlock, a_.matrix().cols - first);
  v_.append_rest(image_.cols == 0 ? v_.random(count) : next(count));
  image_ = Thin<T>(a_.matrix().rows, count);
  a_.multiply(v_.view(first, count), image_);
  images_.append(image_);
  add_gram(first);
}

template <class T>
void Lanczos<T>::add_gram(std::int64_t first) {
  const std::int64_t count = images_.count() - first;
  grams_.push_back(multiply(images_.view().transposed(), image_.view()));
  for (std::int64_t j = 0; j < count; ++j) captured_ += grams_.back().row(first + j)[j];
}

// Aᵀ times the last images, less most of what V holds of it: that is known.
template <class T>
Thin<T> Lanczos<T>::next(std::int64_t count) const {
  Thin<T> y(a_.matrix().cols, count), known(size(), count);
  a_.multiply_transposed({image_.values.data(), image_.rows, count, image_.cols, 1}, y);
  for (std::int64_t i = 0; i < known.rows; ++i) {
    for (std::int64_t j = 0; j < count; ++j) known.values[i * count + j] = static_cast<T>(-grams_.back().row(i)[j]);
  }
  add_product(v_.view(), known.view(), y, true);
  return y;
}

template <class T>
SymmetricProblem Lanczos<T>::problem() const {
  WideMatrix gram(size(), size());
  std::int64_t first = 0;
  for (const WideMatrix& columns : grams_) {
    for (std::int64_t i = 0; i < columns.rows; ++i) std::copy_n(columns.row(i), columns.cols, gram.row(i) + first);
    first += columns.cols;
  }
  return SymmetricProblem(std::move(gram));
}

template <class T>
SingularTriplets Lanczos<T>::triplets(const SymmetricProblem& problem, std::int64_t k, const Sides& sides) const {
  const WideMatrix vectors = problem.vectors(k);
  WideMatrix v;
  if (sides.right) {
    const std::int64_t cols = a_.matrix().cols;
    Thin<T> rounded(size(), k), right(cols, k);
    for (std::int64_t i = 0; i < size(); ++i) std::copy_n(vectors.row(i), k, rounded.values.data() + i * k);
    add_product(v_.view(), rounded.view(), right, false);
    v = WideMatrix(cols, k);
    for (std::int64_t i = 0; i < cols; ++i) std::copy_n(right.values.data() + i * k, k, v.row(i));
  }
  if (!sides.left) return right_alone(problem.values(), std::move(v));
  return in_order(multiply(images_.view(), vectors.view()), std::move(v), kOrthonormal<T>);
}

template <class T>
void Lanczos<T>::restore(const T* directions, const T* images, std::int64_t count) {
  const std::int64_t cols = a_.matrix().cols, rows = a_.matrix().rows;
  for (std::int64_t first = 0; first < count; first += kRandomizedBlock) {
    const std::int64_t block = std::min(kRandomizedBlock, count - first);
    const auto thin = [&](const T* values, std::int64_t length) {
      Thin<T> result(length, block);
      for (std::int64_t i = 0; i < length; ++i) {
        for (std::int64_t j = 0; j < block; ++j) result.values[i * block + j] = values[(first + j) * length + i];
      }
      return result;
    };
    v_.append(thin(directions, cols));
    image_ = thin(images, rows);
    images_.append(image_);
    add_gram(first);
  }
}

template class Lanczos<float>;
template class Lanczos<double>;

}  // namespace petrain
