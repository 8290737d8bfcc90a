// What StepFakeQuant says, block after block of a chunk.
#pragma once

#include "fake_quant_blocks.hpp"
#include "optim.hpp"

namespace petrain::kernels {
namespace {

// Nothing, where the rule computes in float64.
template <class T>
class StepCopy {
 public:
  explicit StepCopy(const StepArgs&) {}
  static constexpr bool on() { return false; }
  void take_gradient(const T*, const T*, T*, std::ptrdiff_t, bool) {}
  void write(const T*, std::ptrdiff_t, std::ptrdiff_t) {}
};

template <>
class StepCopy<float> {
 public:
  explicit StepCopy(const StepArgs& args) : args_(args.fake_quant), slots_(args.slots) {
    if (on()) read_ = written_ = ScaleCursor(args_->format.layout, args.begin);
  }
  bool on() const { return args_ != nullptr; }

  // The gradient of the parameter, which is still the old one, from that of the copy. They may be the same.
  __attribute__((noinline)) void take_gradient(const float* param, const float* of_copy, float* grad,
                                               std::ptrdiff_t size, bool with_sums) {
    gradient_block(args_->format, levels_, read_, param, of_copy, grad, with_sums ? slots_ : nullptr, size);
  }

  __attribute__((noinline)) void write(const float* param, std::ptrdiff_t begin, std::ptrdiff_t size) {
    FakeQuantFormat format = args_->format;
    format.scale = args_->next_scale;
    if (args_->codes) {
      write_block(format, next_levels_, written_, param, static_cast<std::int8_t*>(args_->out) + begin, size);
    } else {
      write_block(format, next_levels_, written_, param, static_cast<float*>(args_->out) + begin, size);
    }
  }

 private:
  const StepFakeQuant* args_;
  double* slots_;
  ScaleCursor read_, written_;
  Levels levels_, next_levels_;
};

}  // namespace
}  // namespace petrain::kernels
