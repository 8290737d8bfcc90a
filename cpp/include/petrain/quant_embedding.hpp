// Rows of a quantized table.
#pragma once

#include "petrain/quant.hpp"

namespace petrain {

// rows[i] = dequantize(table)[ids[i]], reading those rows alone. table (V, D) in any format; ids int32 or int64 of any
// shape; rows float32, float16 or bfloat16, in the shape of ids with D after it. Throws std::out_of_range for the first
// id that is not 0 … V - 1, std::invalid_argument for what does not fit, before anything is written.
void embedding(const QuantTensor& table, const ConstTensorView& ids, const TensorView& rows);

}  // namespace petrain
