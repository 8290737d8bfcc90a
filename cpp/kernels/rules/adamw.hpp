// Adam with decoupled weight decay, in the form of torch.optim.AdamW.
// Loshchilov, Hutter, Decoupled Weight Decay Regularization, arXiv 1711.05101.
#pragma once

#include "adam.hpp"

namespace petrain::kernels {
namespace {

struct AdamW {
  static constexpr const char* name = "adamw";
  enum { lr, beta1, beta2, eps, weight_decay };
  static constexpr Hyper hypers[] = {{"lr", 1e-3, Range::positive},
                                     {"beta1", 0.9, Range::unit},
                                     {"beta2", 0.999, Range::unit},
                                     {"eps", 1e-8, Range::positive},
                                     {"weight_decay", 1e-2, Range::non_negative}};
  static constexpr const char* states[] = {"exp_avg", "exp_avg_sq"};
  static constexpr int state_count = 2;

  template <class T>
  struct Coefficients {
    AdamCoefficients<T> adam;
    T keep;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double t) {
    return {AdamCoefficients<T>::prepare(h[lr], h[beta1], h[beta2], h[eps], t), T(1 - h[lr] * h[weight_decay])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    p = p * c.keep;
    c.adam.update(p, g, s[0], s[1]);
  }
};

}  // namespace
}  // namespace petrain::kernels
