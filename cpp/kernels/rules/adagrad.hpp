// Adagrad, in the form of torch.optim.Adagrad.
// Duchi, Hazan, Singer, Adaptive Subgradient Methods, JMLR 12, 2011.
#pragma once

#include "rule.hpp"

namespace petrain::kernels {
namespace {

struct Adagrad {
  static constexpr const char* name = "adagrad";
  enum { lr, lr_decay, weight_decay, eps };
  static constexpr Hyper hypers[] = {{"lr", 1e-2, Range::positive},
                                     {"lr_decay", 0, Range::non_negative},
                                     {"weight_decay", 0, Range::non_negative},
                                     {"eps", 1e-10, Range::positive}};
  static constexpr State states[] = {{"sum", StateKind::square}};

  template <class T>
  struct Coefficients {
    T lr, weight_decay, eps;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double t, double*) {
    return {T(h[lr] / (1 + (t - 1) * h[lr_decay])), T(h[weight_decay]), T(h[eps])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    g = g + c.weight_decay * p;
    s[0] = s[0] + g * g;
    p = p - c.lr * g / (std::sqrt(s[0]) + c.eps);
  }
};

}  // namespace
}  // namespace petrain::kernels
