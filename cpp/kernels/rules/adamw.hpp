// Adam with decoupled weight decay, in the form of torch.optim.AdamW.
// Loshchilov, Hutter, Decoupled Weight Decay Regularization, arXiv 1711.05101.
#pragma once

#include "adam.hpp"

namespace petrain::kernels {
namespace {

struct AdamW {
  static constexpr const char* name = "adamw";
  enum { lr, beta1, beta2, eps, weight_decay, bias_correction };
  static constexpr Hyper hypers[] = {{"lr", 1e-3, Range::positive},
                                     {"beta1", 0.9, Range::unit},
                                     {"beta2", 0.999, Range::unit},
                                     {"eps", 1e-8, Range::positive},
                                     {"weight_decay", 1e-2, Range::non_negative},
                                     {"bias_correction", 1, Range::flag}};
  static constexpr State states[] = {{"exp_avg", StateKind::average}, {"exp_avg_sq", StateKind::square}};

  template <class T>
  struct Coefficients {
    AdamCoefficients<T> adam;
    T keep;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double t, double*) {
    return {AdamCoefficients<T>::prepare(h[lr], h[beta1], h[beta2], h[eps], h[bias_correction] != 0, t),
            T(1 - h[lr] * h[weight_decay])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    p = p * c.keep;
    c.adam.moments(g, s[0], s[1]);
    c.adam.descend(p, s[0], s[1]);
  }
};

// With the greatest v so far in the place of v.
struct AdamWAmsgrad : AdamW {
  static constexpr const char* name = "adamw_amsgrad";
  static constexpr State states[] = {
      {"exp_avg", StateKind::average}, {"exp_avg_sq", StateKind::square}, {"max_exp_avg_sq", StateKind::square}};

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    p = p * c.keep;
    c.adam.moments(g, s[0], s[1]);
    s[2] = s[1] > s[2] ? s[1] : s[2];
    c.adam.descend(p, s[0], s[2]);
  }
};

}  // namespace
}  // namespace petrain::kernels
