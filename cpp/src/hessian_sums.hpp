// What an observer holds.
#pragma once

#include <cstdint>
#include <vector>

#include "hessian.hpp"

namespace petrain {

struct HessianObserver::Sums {
  explicit Sums(std::int64_t in_features) : h(in_features), sum(h.padded()) {}

  void observe(const float* x, std::int64_t rows);
  Sums flushed() const;  // with the rows that wait added
  void mirror();         // fills H below the diagonal

  Panels h;                    // of whole chunks of kRows rows, on and above the diagonal
  std::vector<double> sum;     // of the same
  std::vector<float> pending;  // less than kRows rows
  std::int64_t count = 0;      // with those

 private:
  void add(const float* x, std::int64_t rows);
  void pack(const float* x, std::int64_t rows, std::int64_t p, double* to);
  void flush();

  std::vector<double> packed_;
};

}  // namespace petrain
