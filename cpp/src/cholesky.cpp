// H = R Rᵀ with R upper triangular: Cholesky's factorization from the last row to the first. It is done as the usual
// one of the matrix in reversed order, column block after column block, each with all products of the blocks before it
// ("left-looking"), so that nearly all of the work is in the wide kernel.
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "checks.hpp"
#include "isa.hpp"
#include "panels.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kBlock = 64;
constexpr std::int64_t kRows = 32;
constexpr std::int64_t kDepth = 256;

// The lower triangle L of P = L Lᵀ in the place of P's lower triangle; rows `stride` apart.
class Factorization {
 public:
  Factorization(double* matrix, std::int64_t size, std::int64_t stride)
      : l_(matrix), size_(size), stride_(stride), packed_(kBlock * size) {}

  // The first row whose pivot is not positive, or -1.
  std::int64_t run() {
    std::int64_t failed = -1;
    in_step(size_ <= 4 * kBlock ? 1 : threads_for(blocks(size_, kBlock)), [&](const SteppingTeam& team) {
      for (std::int64_t b = 0; b < size_; b += kBlock) {
        const std::int64_t width = std::min(kBlock, size_ - b);
        const ChunkRange packing = team.share(blocks(width, kPanel));
        for (std::int64_t p = packing.begin; p < packing.end; ++p) pack(b, p);
        team.barrier();
        const ChunkRange rows = team.share(blocks(size_ - b, kRows));
        for (std::int64_t i = rows.begin; i < rows.end; ++i) subtract(b, b + i * kRows);
        team.barrier();
        if (team.rank == 0) failed = factorize_diagonal(b, width);
        team.barrier();
        if (failed >= 0) return;
        const ChunkRange below = team.share(size_ - b - width);
        for (std::int64_t i = below.begin; i < below.end; ++i) solve(b, width, b + width + i);
        team.barrier();
      }
    });
    return failed;
  }

 private:
  static std::int64_t blocks(std::int64_t count, std::int64_t block) { return (count + block - 1) / block; }
  double* row(std::int64_t i) { return l_ + i * stride_; }

  // -L[b … b+7, :b]ᵀ of the p-th eight rows of the block, for the kernel.
  void pack(std::int64_t b, std::int64_t p) {
    double* to = packed_.data() + p * kPanel * b;
    const std::int64_t first = b + p * kPanel, rows = std::min(kPanel, size_ - first);
    for (std::int64_t k = 0; k < b; ++k, to += kPanel) {
      for (std::int64_t j = 0; j < kPanel; ++j) to[j] = j < rows ? -row(first + j)[k] : 0.0;
    }
  }

  void subtract(std::int64_t b, std::int64_t first) {
    const auto& kernel = *active_kernels().wide;
    const std::int64_t rows = std::min(kRows, size_ - first), panels = blocks(std::min(kBlock, size_ - b), kPanel);
    for (std::int64_t k = 0; k < b; k += kDepth) {
      for (std::int64_t p = 0; p < panels; ++p) {
        kernel.multiply64({row(first) + k, stride_, 1, packed_.data() + (p * b + k) * kPanel,
                           row(first) + b + p * kPanel, stride_, rows, std::min(kDepth, b - k)});
      }
    }
  }

  std::int64_t factorize_diagonal(std::int64_t b, std::int64_t width) {
    for (std::int64_t i = b; i < b + width; ++i) {
      solve(b, i - b, i);
      double pivot = row(i)[i];
      for (std::int64_t k = b; k < i; ++k) pivot -= row(i)[k] * row(i)[k];
      if (!(pivot > 0) || !std::isfinite(pivot)) return i;
      row(i)[i] = std::sqrt(pivot);
    }
    return -1;
  }

  // Row i of the block's first `width` columns, of which the diagonal block is done.
  void solve(std::int64_t b, std::int64_t width, std::int64_t i) {
    for (std::int64_t j = b; j < b + width; ++j) {
      double sum = row(i)[j];
      for (std::int64_t k = b; k < j; ++k) sum -= row(i)[k] * row(j)[k];
      row(i)[j] = sum / row(j)[j];
    }
  }

  double* l_;
  std::int64_t size_, stride_;
  std::vector<double> packed_;
};

}  // namespace

void factorize_upper(Panels& h, double damping) {
  const std::int64_t n = h.size, stride = h.padded();
  double mean = 0;
  for (std::int64_t i = 0; i < n; ++i) mean += h.at(i, i);
  mean /= static_cast<double>(n);
  std::vector<double> reversed(n * stride);
  parallel_for(n, [&](std::int64_t i) {
    for (std::int64_t j = 0; j <= i; ++j) reversed[i * stride + j] = h.at(n - 1 - i, n - 1 - j);
  });
  for (std::int64_t i = 0; i < n; ++i) {
    double& diagonal = reversed[i * stride + i];
    diagonal += damping * mean;
    if (diagonal == 0) diagonal = mean > 0 ? mean : 1;  // an input that was always 0: any number will do
  }
  if (const std::int64_t row = Factorization(reversed.data(), n, stride).run(); row >= 0) {
    throw std::invalid_argument("hessian: expected a positive definite matrix, got one that is not at input " +
                                std::to_string(n - 1 - row) + " with damping " + number_text(damping) +
                                "; observe more rows or raise the damping");
  }
  parallel_for(h.count, [&](std::int64_t p) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = p * kPanel; j < (p + 1) * kPanel; ++j) {
        h.at(i, j) = j < n && i <= j ? reversed[(n - 1 - i) * stride + n - 1 - j] : 0.0;
      }
    }
  });
}

}  // namespace petrain
