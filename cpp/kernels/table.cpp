#include "table.hpp"

#define PETRAIN_STRING_(x) #x
#define PETRAIN_STRING(x) PETRAIN_STRING_(x)

namespace petrain::kernels {

// Sets that extend another one compile only the products of integers again.
extern const FakeQuantTable PETRAIN_BASE_TABLE(fake_quant);
extern const ActivationTable PETRAIN_BASE_TABLE(activation);
extern const CalibrateTable PETRAIN_BASE_TABLE(calibrate);
extern const ConvTable PETRAIN_BASE_TABLE(conv);
extern const DistillTable PETRAIN_BASE_TABLE(distill);
extern const GemmTable PETRAIN_BASE_TABLE(gemm);
extern const GemvTable PETRAIN_BASE_TABLE(gemv);
extern const GroupedGemmTable PETRAIN_TABLE(grouped_gemm);
extern const IntGemmTable PETRAIN_TABLE(int_gemm);
extern const MatrixTable PETRAIN_BASE_TABLE(matrix);
extern const NnTable PETRAIN_BASE_TABLE(nn);
extern const OptimTable PETRAIN_BASE_TABLE(optim);
extern const QuantTable PETRAIN_BASE_TABLE(quant);
extern const QuantFormatTable PETRAIN_BASE_TABLE(quant_format);
extern const ReduceTable PETRAIN_BASE_TABLE(reduce);
extern const RnnTable PETRAIN_BASE_TABLE(rnn);
extern const SparseTable PETRAIN_BASE_TABLE(sparse);
extern const SparseInt8Table PETRAIN_BASE_TABLE(sparse_int8);
extern const SymmetricTable PETRAIN_BASE_TABLE(symmetric);
extern const WideTable PETRAIN_BASE_TABLE(wide);

extern const KernelTable PETRAIN_TABLE(kernels) = {
    .isa = PETRAIN_STRING(PETRAIN_ISA),
    .fake_quant = &PETRAIN_BASE_TABLE(fake_quant),
    .activation = &PETRAIN_BASE_TABLE(activation),
    .calibrate = &PETRAIN_BASE_TABLE(calibrate),
    .conv = &PETRAIN_BASE_TABLE(conv),
    .distill = &PETRAIN_BASE_TABLE(distill),
    .gemm = &PETRAIN_BASE_TABLE(gemm),
    .gemv = &PETRAIN_BASE_TABLE(gemv),
    .grouped_gemm = &PETRAIN_TABLE(grouped_gemm),
    .int_gemm = &PETRAIN_TABLE(int_gemm),
    .matrix = &PETRAIN_BASE_TABLE(matrix),
    .nn = &PETRAIN_BASE_TABLE(nn),
    .optim = &PETRAIN_BASE_TABLE(optim),
    .quant = &PETRAIN_BASE_TABLE(quant),
    .quant_format = &PETRAIN_BASE_TABLE(quant_format),
    .reduce = &PETRAIN_BASE_TABLE(reduce),
    .rnn = &PETRAIN_BASE_TABLE(rnn),
    .sparse = &PETRAIN_BASE_TABLE(sparse),
    .sparse_int8 = &PETRAIN_BASE_TABLE(sparse_int8),
    .symmetric = &PETRAIN_BASE_TABLE(symmetric),
    .wide = &PETRAIN_BASE_TABLE(wide),
};

}  // namespace petrain::kernels
