#compdef zsad
# Completion of zsad for zsh; made by: zsad completion zsh
# TABLES

_zsad_values() { # a kind, and its words
    local kind=$1
    shift
    case $kind in
        words) compadd -- "$@" ;;
        method) compadd -- $(_zsad_names method) ;;
        backbone) compadd -- $(_zsad_names backbone) ;;
        detector) compadd -- $(_zsad_names method); _files -/ ;;
        detector-file) compadd -- $(_zsad_names method); _files ;;
        trained) compadd -- $(_zsad_names method); _files -g '*.toml' ;;
        toml) _files -g '*.toml' ;;
        data)
            compset -P '[^:]#='
            if compset -P '[^:]#:'; then
                _files
            else
                compadd -S : -- $(_zsad_names layout)
            fi
            ;;
        folder) _files -/ ;;
        file) _files ;;
    esac
}

_zsad() {
    setopt localoptions extendedglob
    local word command= kind= current=$words[CURRENT]
    for word in "${(@)words[2,CURRENT-1]}"; do
        if [[ $word == -* ]]; then
            kind=$(_zsad_kind "$command" "$word")
            [[ $word == *=* ]] && kind=
        elif [[ -z $command || " $(_zsad_parts "$command") " == *" $word "* ]]; then
            command="${command:+$command }$word"
        elif [[ $kind != many* ]]; then
            kind=
        fi
    done
    if [[ -n $(_zsad_parts "$command") ]]; then
        compadd -- $(_zsad_parts "$command")
    elif [[ $current == --*=* ]]; then
        kind=$(_zsad_kind "$command" "${current%%=*}")
        compset -P '[^=]#='
        _zsad_values ${=kind#many }
    elif [[ $current == -* ]]; then
        compadd -- $(_zsad_options "$command")
    else
        [[ -n $kind ]] || kind=$(_zsad_kind "$command" -)
        _zsad_values ${=kind#many }
    fi
}

if [[ $funcstack[1] == _zsad ]]; then
    _zsad "$@"
else
    compdef _zsad zsad
fi
