// Images as the integers that convolutions take, and what lies in a kernel's window on them.
#pragma once

#include <cstdint>
#include <optional>

#include "petrain/quant_conv.hpp"

namespace petrain {

// Channels last: neighbours in memory are the channels of a pixel.
struct ConvImages {
  std::int64_t count = 0, channels = 0, height = 0, width = 0;
  const std::int8_t* values = nullptr;  // (count, height, width, channels)
  std::int32_t zero_point = 0;
  float largest_scale = 0;

  float scale(std::int64_t image) const { return scales.as<float>()[scales.size() == 1 ? 0 : image]; }

  Tensor storage, scales;  // int8; float32 (count,) or (1,)
};

// x: (count, channels, height, width) in memory, int8 with `params`, or float32 that is quantized with them, or,
// without, with a symmetric scale for each image. Throws std::invalid_argument where it is NaN or infinite.
ConvImages channels_last(const ConstTensorView& x, std::int64_t count, std::int64_t channels, std::int64_t height,
                         std::int64_t width, const std::optional<QuantParams>& params);

// The pixels of the result, and the part of an image from which each is computed.
struct ConvGrid {
  std::int64_t kernel_height, kernel_width, height, width;  // the last two of the result
  ConvWindow window;

  std::int64_t pixels() const { return height * width; }
  std::int64_t taps() const { return kernel_height * kernel_width; }

  // The window of a pixel (of all images, in order), of `count` channels from `first` on, as (taps, count).
  void gather(const ConvImages& images, std::int64_t pixel, std::int64_t first, std::int64_t count,
              std::int8_t* to) const;
  // Where the channels of each tap lie; `padding` for what is outside.
  void point(const ConvImages& images, std::int64_t pixel, const std::int8_t* padding, const std::int8_t** to) const;
};

}  // namespace petrain
