#!/bin/sh
# Stub libraries that TensorRT's bindings load instead of NVIDIA's: sh stubs.sh FOLDER
set -eu
folder=$1
stub() {
    library=$1; shift
    for symbol in "$@"; do printf 'void *%s(void) { return 0; }\n' "$symbol"; done > "$folder/$library.c"
    gcc -shared -fPIC "-Wl,-soname,lib$library.so.11" -o "$folder/lib$library.so.11" "$folder/$library.c"
}
stub nvinfer createInferBuilder_INTERNAL createInferRefitter_INTERNAL createInferRuntime_INTERNAL \
    getBuilderPluginRegistry getPluginRegistry
stub nvonnxparser createNvOnnxParser_INTERNAL createNvOnnxParserRefitter_INTERNAL getNvOnnxParserVersion
stub nvinfer_plugin initLibNvInferPlugins
