// Schedule-Free AdamW: averaging in the place of a schedule. The parameter holds y, where gradients are taken; z is a
// state; the average x, which is to be evaluated, follows from both.
// Defazio et al., The Road Less Scheduled, arXiv 2405.15682.
#pragma once

#include "rule.hpp"

namespace petrain::kernels {
namespace {

struct ScheduleFreeAdamW {
  static constexpr const char* name = "schedule_free_adamw";
  enum { lr, beta1, beta2, eps, weight_decay, warmup_steps, r, weight_lr_power };
  static constexpr Hyper hypers[] = {{"lr", 2.5e-3, Range::positive},
                                     {"beta1", 0.9, Range::unit_open},
                                     {"beta2", 0.999, Range::unit},
                                     {"eps", 1e-8, Range::divisor},
                                     {"weight_decay", 0, Range::non_negative},
                                     {"warmup_steps", 0, Range::non_negative},
                                     {"r", 0, Range::non_negative},
                                     {"weight_lr_power", 2, Range::non_negative}};
  static constexpr State states[] = {{"z", StateKind::exact}, {"exp_avg_sq", StateKind::square}};
  static constexpr Memory memory[] = {{"weight_sum", 0}, {"lr_max", 0}};

  template <class T>
  struct Coefficients {
    T first, beta2, one_minus_beta2, eps, weight_decay, average, y_step, z_step;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double t, double* memory) {
    double &weight_sum = memory[0], &lr_max = memory[1];
    const double warm = t < h[warmup_steps] ? t / h[warmup_steps] : 1;
    const double step = h[lr] * warm * std::sqrt(1 - power(h[beta2], t));
    lr_max = step > lr_max ? step : lr_max;
    const double weight = real_power(t, h[r]) * real_power(lr_max, h[weight_lr_power]);
    weight_sum += weight;
    const double average = weight_sum > 0 ? weight / weight_sum : 0;
    return {T(t == 1 ? 1 : 0),
            T(h[beta2]),
            T(1 - h[beta2]),
            T(h[eps]),
            T(h[weight_decay]),
            T(average),
            T(step * (h[beta1] * (1 - average) - 1)),
            T(step)};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    T z = c.first != 0 ? p : s[0];
    s[1] = c.beta2 * s[1] + c.one_minus_beta2 * (g * g);
    const T direction = g / (std::sqrt(s[1]) + c.eps) + c.weight_decay * p;
    p = p + c.average * (z - p) + c.y_step * direction;
    s[0] = z - c.z_step * direction;
  }
};

}  // namespace
}  // namespace petrain::kernels
