// Formats of few bits: what they are called, which of them fit a shape, how many scales they have.
#pragma once

#include <string>

#include "kernels/quant_format.hpp"
#include "petrain/quant.hpp"

namespace petrain {

const char* scheme_name(Scheme scheme);
Scheme scheme_from(const std::string& name);  // std::invalid_argument where there is none
const char* granularity_name(Granularity granularity);
Granularity granularity_from(const std::string& name);

// From 0 up; std::out_of_range where the shape has no such axis.
int normalized_axis(int axis, const Shape& shape);

// The spec as a QuantTensor of this shape keeps it: its axis is 0 or more. Throws where it is no format, or none of
// this shape; `what` names the array in messages.
QuantSpec checked_spec(QuantSpec spec, const Shape& shape, const std::string& what);

// The rest is for specs that were checked.
DType stored_dtype(const QuantSpec& spec);                      // of QuantTensor::values
Shape stored_shape(const QuantSpec& spec, const Shape& shape);  // of the same
Shape scale_shape(const QuantSpec& spec, const Shape& shape);
kernels::Limits limits_of(const QuantSpec& spec);

// The part of QuantTensor::validate() that takes no longer for larger arrays: its format, and the shapes and types of
// its parts.
void require_parts(const QuantTensor& q);

}  // namespace petrain
