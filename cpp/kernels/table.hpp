// All kernels of one instruction set.
#pragma once

#include "activation.hpp"
#include "calibrate.hpp"
#include "conv.hpp"
#include "distill.hpp"
#include "fake_quant.hpp"
#include "gemm.hpp"
#include "gemv.hpp"
#include "grouped_gemm.hpp"
#include "int_gemm.hpp"
#include "matrix.hpp"
#include "nn.hpp"
#include "optim.hpp"
#include "quant.hpp"
#include "quant_format.hpp"
#include "reduce.hpp"
#include "rnn.hpp"
#include "sparse.hpp"
#include "sparse_int8.hpp"
#include "symmetric.hpp"
#include "wide.hpp"

namespace petrain::kernels {

struct KernelTable {
  const char* isa;
  const FakeQuantTable* fake_quant;
  const ActivationTable* activation;
  const CalibrateTable* calibrate;
  const ConvTable* conv;
  const DistillTable* distill;
  const GemmTable* gemm;
  const GemvTable* gemv;
  const GroupedGemmTable* grouped_gemm;
  const IntGemmTable* int_gemm;
  const MatrixTable* matrix;
  const NnTable* nn;
  const OptimTable* optim;
  const QuantTable* quant;
  const QuantFormatTable* quant_format;
  const ReduceTable* reduce;
  const RnnTable* rnn;
  const SparseTable* sparse;
  const SparseInt8Table* sparse_int8;
  const SymmetricTable* symmetric;
  const WideTable* wide;
};

}  // namespace petrain::kernels
