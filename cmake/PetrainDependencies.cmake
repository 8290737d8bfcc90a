# Finds what the library is built from. Every dependency is looked for in three places, in this order: the
# usual CMake prefixes, the Python build environment (build requirements installed by pip), the network.

# scikit-build-core puts the build environment's site-packages on CMAKE_PREFIX_PATH; the wheel `cmeel-eigen`
# keeps its files one folder below, the wheel `nlohmann-json` keeps its headers in a folder of its own. A plain
# `cmake` call finds the same wheels in the Python that it is pointed at, so that both builds are one build.
set(PETRAIN_PYTHON_PREFIXES ${CMAKE_PREFIX_PATH})
if(NOT SKBUILD)
  find_program(PETRAIN_PYTHON NAMES python3 python DOC "The Python whose site-packages may hold build requirements")
  if(PETRAIN_PYTHON)
    execute_process(
      COMMAND "${PETRAIN_PYTHON}" -c "import sysconfig; print(sysconfig.get_path('purelib'))"
      OUTPUT_VARIABLE _purelib OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    list(APPEND PETRAIN_PYTHON_PREFIXES "${_purelib}")
    list(APPEND CMAKE_PREFIX_PATH "${_purelib}/pybind11")
    set(Python_EXECUTABLE "${PETRAIN_PYTHON}")  # PETRAIN_PYTHON_MODULE=ON builds for this one
  endif()
endif()
set(_json_hints)
foreach(_prefix IN LISTS PETRAIN_PYTHON_PREFIXES)
  if(IS_DIRECTORY "${_prefix}/cmeel.prefix")
    list(APPEND CMAKE_PREFIX_PATH "${_prefix}/cmeel.prefix")
  endif()
  list(APPEND _json_hints "${_prefix}/nlohmann_json/include")
endforeach()

include(FetchContent)

# Downloads an archive and gives its path, or says in one line what to install. FetchContent could download by
# itself, but where it fails it buries the reason under its own build's output.
function(petrain_download variable what install url sha256)
  message(STATUS "petrain: no ${what} found (${install}); downloading it")
  set(archive "${CMAKE_BINARY_DIR}/_deps/${variable}.tar")
  file(DOWNLOAD "${url}" "${archive}" INACTIVITY_TIMEOUT 15 STATUS result)
  list(GET result 0 code)
  if(code EQUAL 0)
    file(SHA256 "${archive}" got)
    if(NOT got STREQUAL sha256)
      message(FATAL_ERROR "petrain: ${url} should have the SHA-256 ${sha256}, but has ${got}")
    endif()
  else()
    list(GET result 1 reason)
    message(FATAL_ERROR "petrain needs ${what}, found none, and could not download it (${reason}): ${install}")
  endif()
  set(${variable} "${archive}" PARENT_SCOPE)
endfunction()

find_package(Eigen3 CONFIG QUIET)
if(NOT Eigen3_FOUND AND NOT FETCHCONTENT_SOURCE_DIR_EIGEN3)
  petrain_download(eigen_archive "Eigen 3.4"
    "pip install cmeel-eigen, or apt-get install libeigen3-dev, or pass -DFETCHCONTENT_SOURCE_DIR_EIGEN3=DIR"
    https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz
    8586084f71f9bde545ee7fa6d00288b264a2b7ac3607b974e54d13e7162c1c72)
endif()
# No version among the arguments: Debian's 3.4.0 refuses a range and Eigen 5 refuses 3.4.
FetchContent_Declare(Eigen3 URL "${eigen_archive}" FIND_PACKAGE_ARGS CONFIG)
set(BUILD_TESTING_SAVED "${BUILD_TESTING}")
set(BUILD_TESTING OFF)
set(EIGEN_BUILD_DOC OFF)
set(EIGEN_BUILD_PKGCONFIG OFF)
FetchContent_MakeAvailable(Eigen3)
set(BUILD_TESTING "${BUILD_TESTING_SAVED}")
if(Eigen3_VERSION AND Eigen3_VERSION VERSION_LESS 3.4)
  message(FATAL_ERROR "petrain needs Eigen 3.4 or newer, found ${Eigen3_VERSION} in ${Eigen3_DIR}")
endif()

# nlohmann-json reads the JSON header of a model file. Headers alone; never in an installed interface.
find_package(nlohmann_json CONFIG QUIET)
if(NOT nlohmann_json_FOUND)
  find_path(PETRAIN_JSON_INCLUDE nlohmann/json.hpp HINTS ${_json_hints})
  if(PETRAIN_JSON_INCLUDE)
    add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED)
    target_include_directories(nlohmann_json::nlohmann_json SYSTEM INTERFACE "${PETRAIN_JSON_INCLUDE}")
  else()
    if(NOT FETCHCONTENT_SOURCE_DIR_JSON)
      petrain_download(json_archive "nlohmann-json 3.11"
        "pip install nlohmann-json, or apt-get install nlohmann-json3-dev, or pass -DFETCHCONTENT_SOURCE_DIR_JSON=DIR"
        https://github.com/nlohmann/json/releases/download/v3.12.0/json.tar.xz
        42f6e95cad6ec532fd372391373363b62a14af6d771056dbfc86160e6dfff7aa)
    endif()
    FetchContent_Declare(json URL "${json_archive}")
    FetchContent_MakeAvailable(json)
  endif()
endif()

option(PETRAIN_OPENMP "Split work over threads with OpenMP" ON)
set(PETRAIN_HAS_OPENMP OFF)
if(PETRAIN_OPENMP)
  find_package(OpenMP COMPONENTS CXX)
  if(OpenMP_CXX_FOUND)
    set(PETRAIN_HAS_OPENMP ON)
  else()
    message(WARNING "petrain: the compiler has no OpenMP; the library will use one thread")
  endif()
endif()
