# Kernels are compiled once per instruction set from the same sources: see docs/isa.md.

# Results must not depend on the instruction set, so no contraction; nothing here reads errno or FP traps.
# -O3 stands after the build type's flags: kernels are optimized in Debug builds too.
set(PETRAIN_KERNEL_FLAGS -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off -fopenmp-simd
    -fvisibility=hidden -fno-exceptions -fno-rtti -fno-threadsafe-statics)
set(PETRAIN_ISAS)

function(petrain_add_isa isa)
  set(target petrain_kernels_${isa})
  add_library(${target} OBJECT ${PETRAIN_KERNEL_SOURCES})
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_compile_options(${target} PRIVATE ${PETRAIN_KERNEL_FLAGS} ${ARGN} ${PETRAIN_WARNINGS})
  target_compile_definitions(${target} PRIVATE PETRAIN_ISA=${isa})
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_EXTENSIONS OFF)
  set(PETRAIN_ISAS ${PETRAIN_ISAS} ${isa} PARENT_SCOPE)
endfunction()

# Order: from the least to the most capable. The last one that the machine supports is chosen at run time.
string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" _cpu)
if(_cpu MATCHES "^(x86_64|amd64)$")
  petrain_add_isa(baseline)
  petrain_add_isa(avx2 -mavx2 -mfma -mf16c -mbmi2)
  petrain_add_isa(avx512 -mavx2 -mfma -mf16c -mbmi2 -mavx512f -mavx512bw -mavx512vl -mavx512dq
                  -mprefer-vector-width=512)
elseif(_cpu MATCHES "^(aarch64|arm64)$")
  petrain_add_isa(neon)
  petrain_add_isa(neon_dotprod -march=armv8.2-a+dotprod+fp16)
else()
  petrain_add_isa(baseline)
endif()
