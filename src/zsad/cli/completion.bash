# Completion of zsad for bash; made by: zsad completion bash
# TABLES

_zsad_reply() { # words: those that begin as the current one does
    local word
    for word in $1; do
        [[ $word == "$_zsad_cur"* ]] && COMPREPLY+=("$word")
    done
}

_zsad_paths() { # "folder", or a pattern of files
    local path
    while IFS= read -r path; do
        if [[ -d $path ]]; then
            COMPREPLY+=("$path/")
        elif [[ $1 != folder && $path == $1 ]]; then
            COMPREPLY+=("$path")
        fi
    done < <(compgen -f -- "$_zsad_cur")
}

_zsad_data() { # [NAME=]LAYOUT:PATH
    local name=
    [[ $_zsad_cur == *=* ]] && name="${_zsad_cur%%=*}=" && _zsad_cur="${_zsad_cur#*=}"
    if [[ $_zsad_cur == *:* ]]; then
        name="$name${_zsad_cur%%:*}:"
        _zsad_cur="${_zsad_cur#*:}"
        _zsad_paths '*'
    else
        _zsad_reply "$(_zsad_names layout)"
        COMPREPLY=("${COMPREPLY[@]/%/:}")
        compopt +o filenames 2> /dev/null # else bash escapes the colon
    fi
    COMPREPLY=("${COMPREPLY[@]/#/$name}")
}

_zsad_values() { # a kind, and its words
    case $1 in
        words) shift; _zsad_reply "$*" ;;
        method) _zsad_reply "$(_zsad_names method)" ;;
        backbone) _zsad_reply "$(_zsad_names backbone)" ;;
        detector) _zsad_reply "$(_zsad_names method)"; _zsad_paths folder ;;
        detector-file) _zsad_reply "$(_zsad_names method)"; _zsad_paths '*' ;;
        trained) _zsad_reply "$(_zsad_names method)"; _zsad_paths '*.toml' ;;
        toml) _zsad_paths '*.toml' ;;
        data) _zsad_data ;;
        folder) _zsad_paths folder ;;
        file) _zsad_paths '*' ;;
    esac
}

_zsad() {
    local line=${COMP_LINE:0:COMP_POINT} words word command= option= kind= before= index last _zsad_cur
    COMPREPLY=()
    IFS=$' \t' read -ra words <<< "$line" # as they were typed: bash itself would split at : and =
    [[ $line == *[[:space:]] ]] && words+=("")
    last=$((${#words[@]} - 1))
    _zsad_cur=${words[last]}
    for ((index = 1; index < last; index++)); do
        word=${words[index]}
        if [[ $word == -* ]]; then
            option=$word kind=$(_zsad_kind "$command" "$word")
            [[ $word == *=* ]] && option= kind=
        elif [[ -z $command || " $(_zsad_parts "$command") " == *" $word "* ]]; then
            command="${command:+$command }$word"
        elif [[ $kind != many* ]]; then
            option= kind=
        fi
    done
    if [[ -n $(_zsad_parts "$command") ]]; then
        _zsad_reply "$(_zsad_parts "$command")"
    elif [[ $_zsad_cur == --*=* ]]; then
        before="${_zsad_cur%%=*}="
        kind=$(_zsad_kind "$command" "${_zsad_cur%%=*}")
        _zsad_cur=${_zsad_cur#*=}
        _zsad_values ${kind#many }
        COMPREPLY=("${COMPREPLY[@]/#/$before}")
    elif [[ $_zsad_cur == -* ]]; then
        _zsad_reply "$(_zsad_options "$command")"
    else
        [[ -n $kind ]] || kind=$(_zsad_kind "$command" -)
        _zsad_values ${kind#many }
    fi
    _zsad_trim "${words[last]}"
}

_zsad_trim() { # bash inserts a reply after the last : or = of the word
    local done=
    [[ $COMP_WORDBREAKS == *=* && $1 == *=* ]] && done="${1%=*}="
    [[ $COMP_WORDBREAKS == *:* && ${1#"$done"} == *:* ]] && done="${1%:*}:"
    local index
    for index in "${!COMPREPLY[@]}"; do
        COMPREPLY[index]=${COMPREPLY[index]#"$done"}
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/:=] ]] && compopt -o nospace 2> /dev/null
}

complete -o filenames -F _zsad zsad
