#include "int_gemm.hpp"

#if defined(PETRAIN_PLAIN)
#include "int_gemm_plain.hpp"
#elif defined(__aarch64__)
#include "int_gemm_neon.hpp"
#else
#include "int_gemm_x86.hpp"
#endif

namespace petrain::kernels {

extern const IntGemmTable PETRAIN_TABLE(int_gemm) = kIntGemm;

}  // namespace petrain::kernels
