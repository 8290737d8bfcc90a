#include "table.hpp"

#define PETRAIN_STRING_(x) #x
#define PETRAIN_STRING(x) PETRAIN_STRING_(x)

namespace petrain::kernels {

extern const FakeQuantTable PETRAIN_TABLE(fake_quant);
extern const ActivationTable PETRAIN_TABLE(activation);
extern const CalibrateTable PETRAIN_TABLE(calibrate);
extern const ConvTable PETRAIN_TABLE(conv);
extern const GemmTable PETRAIN_TABLE(gemm);
extern const Int4GemmTable PETRAIN_TABLE(int4_gemm);
extern const IntGemmTable PETRAIN_TABLE(int_gemm);
extern const MatrixTable PETRAIN_TABLE(matrix);
extern const NnTable PETRAIN_TABLE(nn);
extern const OptimTable PETRAIN_TABLE(optim);
extern const QuantTable PETRAIN_TABLE(quant);
extern const QuantFormatTable PETRAIN_TABLE(quant_format);
extern const ReduceTable PETRAIN_TABLE(reduce);
extern const WideTable PETRAIN_TABLE(wide);

extern const KernelTable PETRAIN_TABLE(kernels) = {
    .isa = PETRAIN_STRING(PETRAIN_ISA),
    .fake_quant = &PETRAIN_TABLE(fake_quant),
    .activation = &PETRAIN_TABLE(activation),
    .calibrate = &PETRAIN_TABLE(calibrate),
    .conv = &PETRAIN_TABLE(conv),
    .gemm = &PETRAIN_TABLE(gemm),
    .int4_gemm = &PETRAIN_TABLE(int4_gemm),
    .int_gemm = &PETRAIN_TABLE(int_gemm),
    .matrix = &PETRAIN_TABLE(matrix),
    .nn = &PETRAIN_TABLE(nn),
    .optim = &PETRAIN_TABLE(optim),
    .quant = &PETRAIN_TABLE(quant),
    .quant_format = &PETRAIN_TABLE(quant_format),
    .reduce = &PETRAIN_TABLE(reduce),
    .wide = &PETRAIN_TABLE(wide),
};

}  // namespace petrain::kernels
