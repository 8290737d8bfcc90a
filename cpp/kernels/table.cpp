#include "table.hpp"

#define PETRAIN_STRING_(x) #x
#define PETRAIN_STRING(x) PETRAIN_STRING_(x)

namespace petrain::kernels {

extern const GemmTable PETRAIN_TABLE(gemm);
extern const NnTable PETRAIN_TABLE(nn);
extern const OptimTable PETRAIN_TABLE(optim);
extern const QuantTable PETRAIN_TABLE(quant);
extern const ReduceTable PETRAIN_TABLE(reduce);
extern const WideTable PETRAIN_TABLE(wide);

extern const KernelTable PETRAIN_TABLE(kernels) = {
    PETRAIN_STRING(PETRAIN_ISA), &PETRAIN_TABLE(gemm),  &PETRAIN_TABLE(nn),
    &PETRAIN_TABLE(optim),       &PETRAIN_TABLE(quant), &PETRAIN_TABLE(reduce),
    PETRAIN_STRING(PETRAIN_ISA), &PETRAIN_TABLE(gemm),   &PETRAIN_TABLE(nn),
    &PETRAIN_TABLE(optim),       &PETRAIN_TABLE(reduce), &PETRAIN_TABLE(wide),
};

}  // namespace petrain::kernels
