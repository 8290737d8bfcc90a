// The weight of a convolution as kernels read it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "conv_image.hpp"
#include "int_pack.hpp"

namespace petrain {

class Epilogue;

// One dimension is two with a height of 1.
Shape with_height(Shape shape, std::size_t dimensions);

class ConvWeight {
 public:
  ConvWeight(const QuantTensor& w, std::int64_t groups);

  const Shape& shape() const { return shape_; }  // with a height
  std::int64_t depth() const { return shape_[1] * shape_[2] * shape_[3]; }
  float largest_scale() const { return largest_scale_; }

  // Every group as a product of windows, of images with the channels last, and a matrix.
  void product(const Tensor& images, const ConvSizes& sizes, const ImageParams& params, const Epilogue& epilogue) const;
  // With one channel to a group.
  void depthwise_product(const ConstTensorView& x, const ConvSizes& sizes, const ImageParams& params,
                         const Epilogue& epilogue) const;

 private:
  const std::vector<std::unique_ptr<IntMatrix>>& matrices() const;
  // The part of a sum that a zero point of the input adds.
  std::int32_t offset(std::int64_t output, std::int32_t zero_point) const {
    return zero_point * sums_.as<std::int32_t>()[output];
  }

  Shape shape_;
  std::int64_t groups_;
  float largest_scale_;
  Tensor values_, scales_, sums_;  // int8 (O, taps, C / groups), float32 (O,), int32 (O,)
  mutable std::once_flag once_;
  mutable std::vector<std::unique_ptr<IntMatrix>> matrices_;  // of the groups, made at the first product
};

}  // namespace petrain
