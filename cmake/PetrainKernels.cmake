# Kernels are compiled once per instruction set from the same sources: see docs/isa.md.

# Results must not depend on the instruction set, so no contraction; nothing here reads errno or FP traps.
# -O3 stands after the build type's flags: kernels are optimized in Debug builds too.
set(PETRAIN_KERNEL_FLAGS -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off -fopenmp-simd
    -fvisibility=hidden -fno-exceptions -fno-rtti -fno-threadsafe-statics)
set(PETRAIN_ONLY_ISAS "" CACHE STRING "The instruction sets to build, for a smaller library; empty: all of the processor")
set(PETRAIN_ISAS)
include(CheckIncludeFileCXX)

# With EXTENDS, only SOURCES are compiled again, and all other tables are those of the set that is named, if that is
# built too.
function(petrain_add_isa isa)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "EXTENDS" "FLAGS;SOURCES")
  if(PETRAIN_ONLY_ISAS AND NOT isa IN_LIST PETRAIN_ONLY_ISAS)
    return()
  endif()
  set(base ${isa})
  set(sources ${PETRAIN_KERNEL_SOURCES})
  if(arg_EXTENDS AND (NOT PETRAIN_ONLY_ISAS OR arg_EXTENDS IN_LIST PETRAIN_ONLY_ISAS))
    set(base ${arg_EXTENDS})
    set(sources cpp/kernels/table.cpp ${arg_SOURCES})
  endif()
  set(target petrain_kernels_${isa})
  add_library(${target} OBJECT ${sources})
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_compile_options(${target} PRIVATE ${PETRAIN_KERNEL_FLAGS} ${arg_FLAGS} ${PETRAIN_WARNINGS})
  target_compile_definitions(${target} PRIVATE PETRAIN_ISA=${isa} PETRAIN_BASE_ISA=${base})
  set_target_properties(${target} PROPERTIES
    POSITION_INDEPENDENT_CODE ON CXX_EXTENSIONS OFF PETRAIN_BASE_ISA ${base})
  set(PETRAIN_ISAS ${PETRAIN_ISAS} ${isa} PARENT_SCOPE)
endfunction()

# Order: from the least to the most capable. The last one that the machine supports is chosen at run time.
string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" _cpu)
set(_integer_products cpp/kernels/grouped_gemm.cpp cpp/kernels/int_gemm.cpp)
if(_cpu MATCHES "^(x86_64|amd64)$")
  set(_avx2 -mavx2 -mfma -mf16c -mbmi2)
  set(_avx512 ${_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
  # For tests: the integer products of processors that have no kernels of their own.
  if(PETRAIN_TESTS)
    petrain_add_isa(plain EXTENDS baseline FLAGS -DPETRAIN_PLAIN SOURCES ${_integer_products})
  endif()
  petrain_add_isa(baseline)
  # For tests on machines without VNNI: its kernels, with the instructions computed by SIMDe.
  if(PETRAIN_TESTS)
    check_include_file_cxx(simde/x86/avx512/dpbusd.h PETRAIN_HAS_SIMDE)
  endif()
  if(PETRAIN_TESTS AND PETRAIN_HAS_SIMDE)
    petrain_add_isa(vnni_emulated EXTENDS baseline FLAGS ${_avx2}
                    -include "${PROJECT_SOURCE_DIR}/tests/cpp/emulate_vnni.hpp" SOURCES ${_integer_products})
  endif()
  petrain_add_isa(avx2 FLAGS ${_avx2})
  petrain_add_isa(avx512 FLAGS ${_avx512})
  petrain_add_isa(avx512_vnni EXTENDS avx512 FLAGS ${_avx512} -mavx512vnni SOURCES ${_integer_products})
elseif(_cpu MATCHES "^(aarch64|arm64)$")
  petrain_add_isa(neon)
  petrain_add_isa(neon_dotprod EXTENDS neon FLAGS -march=armv8.2-a+dotprod SOURCES ${_integer_products})
else()
  petrain_add_isa(baseline FLAGS -DPETRAIN_PLAIN)
endif()
if(NOT PETRAIN_ISAS)
  message(FATAL_ERROR "PETRAIN_ONLY_ISAS: expected sets of ${CMAKE_SYSTEM_PROCESSOR}, got ${PETRAIN_ONLY_ISAS}")
endif()
