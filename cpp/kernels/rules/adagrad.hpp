// Adagrad and Adadelta, in the form of torch.optim.
// Duchi, Hazan, Singer, Adaptive Subgradient Methods, JMLR 12, 2011. Zeiler, ADADELTA, arXiv 1212.5701.
#pragma once

#include "rule.hpp"

namespace petrain::kernels {
namespace {

struct Adagrad {
  static constexpr const char* name = "adagrad";
  enum { lr, lr_decay, weight_decay, initial_accumulator_value, eps };
  static constexpr Hyper hypers[] = {{"lr", 1e-2, Range::positive},
                                     {"lr_decay", 0, Range::non_negative},
                                     {"weight_decay", 0, Range::non_negative},
                                     {"initial_accumulator_value", 0, Range::non_negative},
                                     {"eps", 1e-10, Range::divisor}};
  static constexpr State states[] = {{"sum", StateKind::square, initial_accumulator_value}};

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

struct Adadelta {
  static constexpr const char* name = "adadelta";
  enum { lr, rho, eps, weight_decay };
  static constexpr Hyper hypers[] = {{"lr", 1, Range::positive},
                                     {"rho", 0.9, Range::unit},
                                     {"eps", 1e-6, Range::divisor},
                                     {"weight_decay", 0, Range::non_negative}};
  static constexpr State states[] = {{"square_avg", StateKind::square}, {"acc_delta", StateKind::square}};

  template <class T>
  struct Coefficients {
    T lr, rho, one_minus_rho, eps, weight_decay;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double, double*) {
    return {T(h[lr]), T(h[rho]), T(1 - h[rho]), T(h[eps]), T(h[weight_decay])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    g = g + c.weight_decay * p;
    s[0] = c.rho * s[0] + c.one_minus_rho * (g * g);
    const T delta = std::sqrt(s[1] + c.eps) / std::sqrt(s[0] + c.eps) * g;
    s[1] = c.rho * s[1] + c.one_minus_rho * (delta * delta);
    p = p - c.lr * delta;
  }
};

}  // namespace
}  // namespace petrain::kernels
