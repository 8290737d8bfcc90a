// Convolutions in which every channel of the result is computed from one channel of the image.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "conv_image.hpp"

namespace petrain {

// A part of an image's channel, as it is laid out to be multiplied: for every phase of the strides that the kernel
// meets a plane of its own, with its padding, so that what a tap needs for neighbouring results are neighbours.
class DepthwiseStrip {
 public:
  explicit DepthwiseStrip(const ConvSizes& sizes);

  std::int64_t rows() const { return rows_; }    // of the result, at most
  std::int64_t width() const { return width_; }  // from one of its rows to the next, in sums
  std::int64_t size() const { return row_phases_.size() * column_phases_.size() * plane(); }
  // For each tap, where its number for the first result lies.
  const std::vector<std::ptrdiff_t>& offsets() const { return offsets_; }
  // Which rows of the image `count` rows of the result from `row` on need; some may be outside.
  std::int64_t first_row(std::int64_t row) const;
  std::int64_t end_row(std::int64_t row, std::int64_t count) const;
  // from: the rows that are in the image.
  void fill(const std::int8_t* from, std::int64_t row, std::int64_t count, std::int32_t zero_point,
            std::int8_t* to) const;

 private:
  std::int64_t plane() const { return (rows_ + extra_rows_) * width_; }

  const ConvSizes& sizes_;
  std::int64_t rows_, width_, extra_rows_;
  std::vector<std::int64_t> row_phases_, column_phases_;
  std::vector<std::ptrdiff_t> offsets_;
};

// Rows of one channel of the result, `width` sums from one to the next.
struct StripSums {
  const std::int32_t* sums;
  float* values;  // as many, free to use
  std::int64_t image, channel, row, rows, width;
};

// w: (outputs, taps). `done` is called from several threads.
void depthwise(const ConstTensorView& x, const ConvSizes& sizes, const ImageParams& params, const std::int8_t* w,
               std::int64_t outputs, const std::function<void(const StripSums&)>& done);

// Whether a strip is small; it is large where a kernel's taps are far apart.
bool depthwise_fits(const ConvSizes& sizes);

}  // namespace petrain
