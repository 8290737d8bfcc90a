// Adam with decoupled weight decay, in the form of torch.optim.AdamW.
// Loshchilov, Hutter, Decoupled Weight Decay Regularization, arXiv 1711.05101.
//
// Here and in other rules p (1 - lr weight_decay) is written as p - lr weight_decay p: near 1, float32 holds the factor
// to 3e-8 only, which is 0.3% of a decay of 1e-5 and all of one of 3e-8.
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
                                     {"eps", 1e-8, Range::divisor},
                                     {"weight_decay", 1e-2, Range::non_negative},
                                     {"bias_correction", 1, Range::flag}};
  static constexpr State states[] = {{"exp_avg", StateKind::average}, {"exp_avg_sq", StateKind::square}};

  template <class T>
  struct Coefficients {
    AdamCoefficients<T> adam;
    T decay;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double t, double*) {
    return {AdamCoefficients<T>::prepare(h[lr], h[beta1], h[beta2], h[eps], h[bias_correction] != 0, t),
            T(h[lr] * h[weight_decay])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    c.adam.moments(g, s[0], s[1]);
    p = p - (c.decay * p + c.adam.step(s[0], s[1]));
  }
};

// With the greatest v so far in the place of v.
struct AdamWAmsgrad : AdamW {
  static constexpr const char* name = "adamw_amsgrad";
  static constexpr State states[] = {
      {"exp_avg", StateKind::average}, {"exp_avg_sq", StateKind::square}, {"max_exp_avg_sq", StateKind::square}};

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    c.adam.moments(g, s[0], s[1]);
    s[2] = s[1] > s[2] ? s[1] : s[2];
    p = p - (c.decay * p + c.adam.step(s[0], s[2]));
  }
};

}  // namespace
}  // namespace petrain::kernels
