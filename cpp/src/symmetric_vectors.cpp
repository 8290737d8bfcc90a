// Eigenvectors of a tridiagonal matrix by inverse iteration from random starts, then made orthonormal all at once:
// where eigenvalues lie close together, what the iteration finds for each is a random vector of what they share.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "random.hpp"
#include "symmetric.hpp"

namespace petrain {
namespace {

constexpr double kEpsilon = 2.220446049250313e-16;
constexpr int kIterations = 3;
constexpr double kSound = 1e-12;               // of the norm: what T x - value x may be
constexpr double kDependent = 1e-12;           // a pivot of the Gram matrix
constexpr std::int64_t kSerialWork = 1 << 12;  // elements, of some 50 ns each
constexpr std::int64_t kVectors = 8;           // a unit of work

double norm(const Tridiagonal& t) {
  double largest = 0;
  for (std::size_t i = 0; i < t.diagonal.size(); ++i) {
    const double before = i > 0 ? std::fabs(t.beside[i - 1]) : 0,
                 after = i < t.beside.size() ? std::fabs(t.beside[i]) : 0;
    largest = std::max(largest, std::fabs(t.diagonal[i]) + before + after);
  }
  return largest;
}

// T - value = P L U with row exchanges.
class Shifted {
 public:
  Shifted(const Tridiagonal& t, double value, double least)
      : upper_(t.diagonal),
        second_(t.beside),
        third_(t.diagonal.size()),
        lower_(t.beside),
        exchanged_(t.diagonal.size()) {
    const std::size_t n = upper_.size();
    second_.push_back(0);
    for (double& element : upper_) element -= value;
    for (std::size_t i = 0; i + 1 < n; ++i) {
      const double below = lower_[i];
      if (std::fabs(upper_[i]) >= std::fabs(below)) {
        if (std::fabs(upper_[i]) < least) upper_[i] = least;
        lower_[i] = below / upper_[i];
        upper_[i + 1] -= lower_[i] * second_[i];
      } else {
        exchanged_[i] = 1;
        lower_[i] = upper_[i] / below;
        upper_[i] = below;
        const double next = upper_[i + 1];
        upper_[i + 1] = second_[i] - lower_[i] * next;
        second_[i] = next;
        third_[i] = second_[i + 1];
        second_[i + 1] *= -lower_[i];
      }
    }
    if (std::fabs(upper_[n - 1]) < least) upper_[n - 1] = least;
  }

  void solve(std::vector<double>& x) const {
    const std::size_t n = upper_.size();
    for (std::size_t i = 0; i + 1 < n; ++i) {
      if (exchanged_[i]) std::swap(x[i], x[i + 1]);
      x[i + 1] -= lower_[i] * x[i];
    }
    for (std::size_t i = n; i-- > 0;) {
      double value = x[i];
      if (i + 1 < n) value -= second_[i] * x[i + 1];
      if (i + 2 < n) value -= third_[i] * x[i + 2];
      x[i] = value / upper_[i];
    }
  }

 private:
  std::vector<double> upper_, second_, third_, lower_;
  std::vector<char> exchanged_;
};

void normalize(std::vector<double>& x) {
  double largest = 0;
  for (const double value : x) largest = std::max(largest, std::fabs(value));
  double square = 0;
  for (double& value : x) {
    value /= largest;
    square += value * value;
  }
  for (double& value : x) value /= std::sqrt(square);
}

bool is_sound(const Tridiagonal& t, const std::vector<double>& values, const WideMatrix& x, double allowed) {
  const std::int64_t n = x.rows;
  std::vector<double> squares(x.cols);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) {
      double rest = (t.diagonal[i] - values[j]) * x.row(i)[j];
      if (i > 0) rest += t.beside[i - 1] * x.row(i - 1)[j];
      if (i + 1 < n) rest += t.beside[i] * x.row(i + 1)[j];
      squares[j] += rest * rest;
    }
  }
  return std::all_of(squares.begin(), squares.end(), [&](double square) { return square <= allowed * allowed; });
}

}  // namespace

bool inverse_iteration(const Tridiagonal& t, const std::vector<double>& values, std::int64_t count,
                       WideMatrix& vectors) {
  const auto n = static_cast<std::int64_t>(t.diagonal.size());
  const double size = norm(t), least = std::max(kEpsilon * size, 1e-300);
  vectors = WideMatrix(n, count);
  const std::int64_t groups = (count + kVectors - 1) / kVectors;
  const auto find = [&](std::int64_t group) {
    std::vector<float> start(n);
    std::vector<double> x(n);
    for (std::int64_t j = group * kVectors; j < std::min((group + 1) * kVectors, count); ++j) {
      fill_uniform(0, static_cast<std::uint64_t>(j), -1, 1, start.data(), n);
      std::copy(start.begin(), start.end(), x.begin());
      const Shifted shifted(t, values[j], least);
      for (int iteration = 0; iteration < kIterations; ++iteration) {
        shifted.solve(x);
        normalize(x);
      }
      for (std::int64_t i = 0; i < n; ++i) vectors.row(i)[j] = x[i];
    }
  };
  parallel_for_work(n * count, kSerialWork, groups, find);
  return orthonormalize_near(vectors, kDependent) && is_sound(t, values, vectors, kSound * size);
}

}  // namespace petrain
