// What StepFakeQuant says, block after block of a chunk.
#pragma once

#include "fake_quant_blocks.hpp"
#include "optim.hpp"

namespace petrain::kernels {
namespace {

// What a rule's own loop masks its gradients with.
struct StepMask {
  const float* reciprocal;
  float* parts;  // of the scales' gradients
  std::int32_t most;

  float gradient(std::ptrdiff_t i, float param, float of_copy) const {
    return masked(param * reciprocal[i], of_copy, -most, most, parts[i]);
  }
};

// Nothing, where the rule computes in float64.
template <class T>
class StepCopy {
 public:
  explicit StepCopy(const StepArgs&) {}
  static constexpr bool on() { return false; }
  StepMask mask() const { return {}; }
  void start(std::ptrdiff_t) {}
  void apply_mask(const T*, const T*, T*, std::ptrdiff_t) {}
  void finish(const T*, std::ptrdiff_t, std::ptrdiff_t) {}
};

template <>
class StepCopy<float> {
 public:
  explicit StepCopy(const StepArgs& args) : args_(args.fake_quant), slots_(args.slots) {
    if (on()) cursor_ = ScaleCursor(args_->format.layout, args.begin);
  }
  bool on() const { return args_ != nullptr; }

  // The gradients of each block are masked, while its parameter is still the old one, either with this or by
  // apply_mask, for which of_copy and grad may be the same.
  StepMask mask() { return {reciprocals_.scale, parts_, args_->format.most}; }
  void start(std::ptrdiff_t size) {
    next_block(cursor_, size, pieces_);
    fill<true>(reciprocals_, args_->format, pieces_);
  }
  void apply_mask(const float* param, const float* of_copy, float* grad, std::ptrdiff_t size) {
    mask_elements<false>(param, args_->format, reciprocals_, of_copy, grad, parts_, size);
  }

  // The scales' gradients and the new copy.
  __attribute__((noinline)) void finish(const float* param, std::ptrdiff_t begin, std::ptrdiff_t size) {
    add_parts(pieces_, parts_, slots_);
    FakeQuantFormat format = args_->format;
    format.scale = args_->next_scale;
    if (args_->codes) {
      write_block(format, levels_, pieces_, param, static_cast<std::int8_t*>(args_->out) + begin, size);
    } else {
      write_block(format, levels_, pieces_, param, static_cast<float*>(args_->out) + begin, size);
    }
  }

 private:
  const StepFakeQuant* args_;
  double* slots_;
  ScaleCursor cursor_;
  Pieces pieces_;
  Levels reciprocals_, levels_;
  alignas(64) float parts_[kBlock];
};

}  // namespace
}  // namespace petrain::kernels
